"""The messages that applications import are those of schemas/control.proto."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from otel_agentrun import control_pb2
from tools import generate_control


def test_what_is_committed_is_what_the_proto_says() -> None:
    """A changed proto without `make proto` must not go unnoticed."""
    descriptor, stubs = generate_control.generated()
    committed = FileDescriptorProto.FromString(control_pb2.DESCRIPTOR.serialized_pb)

    assert committed == descriptor
    assert generate_control.TARGET.read_text(encoding="utf-8") == generate_control.render(
        descriptor
    )
    # Of another protoc the layout of the stubs may differ; what they name does not.
    for message in descriptor.message_type:
        assert f"class {message.name}(" in stubs
        text = generate_control.TARGET.with_suffix(".pyi").read_text(encoding="utf-8")
        assert all(field.name in text for field in message.field)


def test_a_directive_has_exactly_one_scope() -> None:
    """The last one given wins: an application never has to choose."""
    directive = control_pb2.Directive(id="d-1", action="kill", run_id="r", agent="support")

    assert directive.WhichOneof("scope") == "agent"
    assert control_pb2.Directive.FromString(directive.SerializeToString()) == directive
