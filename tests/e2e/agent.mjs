// Runs one agent per OTLP exporter with the plain OpenTelemetry SDK, and prints the runs' ids.
// Usage: node agent.mjs GRPC_URL HTTP_URL
import { context, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as Grpc } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as Json } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as Proto } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const [grpcUrl, httpUrl] = process.argv.slice(2);
const url = `${httpUrl}/v1/traces`;
const exporters = {
  grpc: () => new Grpc({ url: grpcUrl }),
  proto: (headers) => new Proto({ url, headers, compression: "gzip" }),
  json: (headers) => new Json({ url, headers }),
};
const runs = {};
for (const [name, make] of Object.entries(exporters)) {
  const session = `node ${name}`;
  const headers = { "x-request-id": `req of ${session}`, "alephant-session-id": session };
  const provider = new NodeTracerProvider({
    spanProcessors: [new BatchSpanProcessor(make(headers))],
  });
  const tracer = provider.getTracer("an.instrumentation");
  const root = tracer.startSpan("invoke_agent support", {
    attributes: {
      "gen_ai.operation.name": "invoke_agent",
      "gen_ai.agent.name": "support",
      "service.name": "desk",
      // gRPC's headers are of another kind: here the span says it itself.
      ...(name === "grpc" && {
        "session.id": session,
        "agentrun.request.id": `req of ${session}`,
      }),
    },
  });
  const inside = trace.setSpan(context.active(), root);
  const step = async (title, attributes, error) => {
    // Clocks here count milliseconds, and steps that start together have no order.
    await new Promise((resolve) => setTimeout(resolve, 3));
    const span = tracer.startSpan(title, { attributes }, inside);
    if (error) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
    span.end();
  };
  const chat = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
  };
  const tool = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "search",
    "gen_ai.tool.call.arguments": '{"q": "☂"}',
  };
  await step("chat gpt-4o-mini", { ...chat, "gen_ai.response.finish_reasons": ["tool_calls"] });
  await step("execute_tool search", { ...tool, "error.type": "Error" }, "too slow");
  await step("execute_tool search", tool);
  await step("chat gpt-4o-mini", { ...chat, "gen_ai.response.finish_reasons": ["stop"] });
  root.end();
  await provider.forceFlush(); // rejects when the exporter reports a failure
  await provider.shutdown();
  runs[name] = root.spanContext().traceId;
}
console.log(JSON.stringify(runs));
