"""Messages of the control stream.  Written by `make proto` from schemas/control.proto."""

from google.protobuf import descriptor_pool, message_factory

DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(
    b'\n\rcontrol.proto\x12\x13agentrun.control.v1"}\n\x02Up\x122\n\x05hello\x18\x01 \x01(\x0b2\x1a.agen'
    b'trun.control.v1.HelloH\x00R\x05hello\x128\n\x07reports\x18\x02 \x01(\x0b2\x1c.agentrun.contr'
    b'ol.v1.ReportsH\x00R\x07reportsB\t\n\x07message"\xdc\x01\n\x05Hello\x12%\n\x0eapplication_id\x18'
    b'\x01 \x01(\tR\rapplicationId\x12!\n\x0cservice_name\x18\x02 \x01(\tR\x0bserviceName\x12\x1f\n\x0bsdk_v'
    b'ersion\x18\x03 \x01(\tR\nsdkVersion\x120\n\x04runs\x18\x04 \x03(\x0b2\x1c.agentrun.control.v1.Ope'
    b'nRunR\x04runs\x12\x19\n\x08can_stop\x18\x05 \x01(\x08R\x07canStop\x12\x1b\n\tcan_pause\x18\x06 \x01(\x08R\x08canPau'
    b'se"|\n\x07OpenRun\x12\x15\n\x06run_id\x18\x01 \x01(\tR\x05runId\x12\x14\n\x05agent\x18\x02 \x01(\tR\x05agent\x12\x1c\n\two'
    b'rkspace\x18\x03 \x01(\tR\tworkspace\x12&\n\x0fstarted_unix_ns\x18\x04 \x01(\x03R\rstartedUnixNs'
    b'"\x87\x01\n\x07Reports\x12\x1a\n\x08sequence\x18\x01 \x01(\x04R\x08sequence\x12\x12\n\x04logs\x18\x02 \x01(\x0cR\x04logs\x126\n\x07'
    b'started\x18\x03 \x03(\x0b2\x1c.agentrun.control.v1.OpenRunR\x07started\x12\x14\n\x05ended\x18\x04 '
    b'\x03(\tR\x05ended"\xc8\x01\n\x04Down\x128\n\x07welcome\x18\x01 \x01(\x0b2\x1c.agentrun.control.v1.Welco'
    b'meH\x00R\x07welcome\x12;\n\x08received\x18\x02 \x01(\x0b2\x1d.agentrun.control.v1.ReceivedH\x00'
    b'R\x08received\x12>\n\tdirective\x18\x03 \x01(\x0b2\x1e.agentrun.control.v1.DirectiveH\x00R'
    b'\tdirectiveB\t\n\x07message",\n\x07Welcome\x12!\n\x0ccollector_id\x18\x01 \x01(\tR\x0bcollecto'
    b'rId"<\n\x08Received\x12\x1a\n\x08sequence\x18\x01 \x01(\x04R\x08sequence\x12\x14\n\x05error\x18\x02 \x01(\tR\x05erro'
    b'r"\xc8\x04\n\tDirective\x12\x0e\n\x02id\x18\x01 \x01(\tR\x02id\x12\x16\n\x06action\x18\x02 \x01(\tR\x06action\x12\x17\n\x06run_i'
    b'd\x18\x03 \x01(\tH\x00R\x05runId\x12\x16\n\x05agent\x18\x04 \x01(\tH\x00R\x05agent\x12\x1e\n\tworkspace\x18\x05 \x01(\tH\x00R\tw'
    b'orkspace\x12 \n\neverything\x18\x06 \x01(\x08H\x00R\neverything\x12\x16\n\x06reason\x18\x07 \x01(\tR\x06reas'
    b'on\x12\x1f\n\x0bstop_reason\x18\x08 \x01(\tR\nstopReason\x12\x12\n\x04rule\x18\t \x01(\tR\x04rule\x12#\n\rrules'
    b'_version\x18\n \x01(\tR\x0crulesVersion\x12%\n\x0epolicy_version\x18\x0b \x01(\tR\rpolicyVers'
    b'ion\x12\x19\n\x08span_ids\x18\x0c \x03(\tR\x07spanIds\x12\x14\n\x05actor\x18\r \x01(\tR\x05actor\x12\x1f\n\x0bapproval'
    b'_id\x18\x0e \x01(\tR\napprovalId\x12 \n\x0ctool_call_id\x18\x0f \x01(\tR\ntoolCallId\x12\x1b\n\ttool_'
    b'name\x18\x10 \x01(\tR\x08toolName\x12\x1c\n\nat_unix_ns\x18\x11 \x01(\x03R\x08atUnixNs\x12&\n\x0fexpires_un'
    b"ix_ns\x18\x12 \x01(\x03R\rexpiresUnixNs\x12'\n\x0fworkspace_limit\x18\x13 \x01(\tR\x0eworkspaceLi"
    b'mitB\x07\n\x05scope2L\n\x07Control\x12A\n\x07Connect\x12\x17.agentrun.control.v1.Up\x1a\x19.ag'
    b'entrun.control.v1.Down(\x010\x01b\x06proto3'
)

Up = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Up"])
Hello = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Hello"])
OpenRun = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["OpenRun"])
Reports = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Reports"])
Down = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Down"])
Welcome = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Welcome"])
Received = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Received"])
Directive = message_factory.GetMessageClass(DESCRIPTOR.message_types_by_name["Directive"])
