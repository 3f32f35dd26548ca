"""Write `otel_agentrun/control_pb2.py` and its `.pyi` from `schemas/control.proto`.

    python -m tools.generate_control      # `make proto`

protoc's own Python code refuses runtimes of another major version than its own, and applications
bring whatever protobuf their frameworks need.  So only the descriptor and the type stubs are
protoc's; the classes are made from it with the public API that is the same since protobuf 5.
"""

from __future__ import annotations

import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT: Final = Path(__file__).parents[1]
SOURCE: Final = ROOT / "schemas" / "control.proto"
TARGET: Final = ROOT / "otel_agentrun" / "control_pb2.py"
WIDTH: Final = 64
"""Bytes of the descriptor in a line."""
MODULE: Final = '''\
"""Messages of the control stream.  Written by `make proto` from schemas/control.proto."""

from google.protobuf import descriptor_pool, message_factory

DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(
{descriptor}
)

{classes}
'''


def generated() -> tuple[FileDescriptorProto, str]:
    """(descriptor, type stubs).  Raises RuntimeError when protoc refuses the file; it says why."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        arguments = [
            "protoc",
            f"--proto_path={SOURCE.parent}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--descriptor_set_out={out / 'set'}",
            f"--pyi_out={out}",
            SOURCE.name,
        ]
        if protoc.main(arguments) != 0:
            raise RuntimeError(f"protoc refused {SOURCE}")
        described = FileDescriptorSet.FromString((out / "set").read_bytes())
        stubs = (out / "control_pb2.pyi").read_text(encoding="utf-8")
        # mypy's strict mode wants to know of what.
        return described.file[0], stubs.replace(", _Mapping]", ", _Mapping[str, object]]")


def render(descriptor: FileDescriptorProto) -> str:
    data = descriptor.SerializeToString(deterministic=True)
    lines = [f"    {data[at : at + WIDTH]!r}" for at in range(0, len(data), WIDTH)]
    classes = [
        f"{message.name} = message_factory.GetMessageClass("
        f'DESCRIPTOR.message_types_by_name["{message.name}"])'
        for message in descriptor.message_type
    ]
    return MODULE.format(descriptor="\n".join(lines), classes="\n".join(classes))


def main() -> None:
    descriptor, stubs = generated()
    TARGET.write_text(render(descriptor), encoding="utf-8")
    TARGET.with_suffix(".pyi").write_text(stubs, encoding="utf-8")


if __name__ == "__main__":
    main()
