// Exports two spans with each of the three OTLP exporters, plain and gzip, and prints what they said.
// Usage: node export.mjs GRPC_URL HTTP_URL
import { OTLPTraceExporter as Grpc } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as Json } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as Proto } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const [grpcUrl, httpUrl] = process.argv.slice(2);
const traces = `${httpUrl}/v1/traces`;

for (const compression of ["none", "gzip"]) {
  const headers = (name) => ({ "x-request-id": `${name}-${compression}` });
  const exporters = {
    grpc: new Grpc({ url: grpcUrl, compression, timeoutMillis: 5000 }),
    proto: new Proto({ url: traces, compression, headers: headers("proto"), timeoutMillis: 5000 }),
    json: new Json({ url: traces, compression, headers: headers("json"), timeoutMillis: 5000 }),
  };
  for (const [name, exporter] of Object.entries(exporters)) {
    const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(exporter)] });
    const tracer = provider.getTracer("node-test");
    const root = tracer.startSpan(`agent.run ${name} ${compression}`);
    tracer.startSpan("agent.tool", { attributes: { "gen_ai.tool.name": "wetter ☂", n: 7 } }).end();
    root.end();
    // Rejects when the exporter reports a failure.
    await provider.forceFlush();
    await provider.shutdown();
    console.log(`exported ${name} ${compression}`);
  }
}
