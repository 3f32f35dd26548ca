"""Data of an INSERT as text in which something can be searched."""

from __future__ import annotations

import pyarrow as pa


def readable(data: bytes, data_format: str) -> str:
    """Data in which a text can be searched: the buffers of an Arrow stream may be compressed."""
    if data_format == "ArrowStream":
        try:
            table = pa.ipc.open_stream(data).read_all()
        except pa.ArrowInvalid:
            return ""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue().to_pybytes()
    return data.decode(errors="replace")
