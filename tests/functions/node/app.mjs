// What a Node function may do: one thing per `do`. The tests ask for it by name.
import { existsSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

export const handler = async (event, context) => {
  switch (event.do ?? "hello") {
    case "hello":
      return { hello: event.name, requestId: context.awsRequestId, pid: process.pid };
    case "raise":
      throw new RangeError("no luck");
    case "exit":
      process.exit(event.code ?? 3);
      break;
    case "print":
      console.log(event.line);
      return null;
    default:
      throw new Error(`cannot ${event.do}`);
  }
};

// The second part is made when the test has seen the first.
export const streaming = awslambda.streamifyResponse(async (event, stream, _context) => {
  const body = awslambda.HttpResponseStream.from(stream, {
    statusCode: 201,
    headers: { "content-type": "text/plain" },
  });
  body.write("first,");
  for (let turn = 0; turn < 1000 && !existsSync(event.until); turn += 1) {
    await setTimeout(10);
  }
  if (event.breaks) throw new RangeError("no luck");
  body.write("last");
  body.end();
});
