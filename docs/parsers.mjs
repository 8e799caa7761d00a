// Lets Node's http and fetch read each answer that stands on standard input, and says what they made of it.
// In: a JSON list of {data: base64, how: "fin" | "rst" | "open"}. Out: a list of {http, fetch}, each with
// {status, body: base64} of a message that ended well, or {error: code}.
import http from "node:http";
import net from "node:net";

const answers = JSON.parse(await new Response(process.stdin).text());
const PATIENCE = 1500;

const server = net.createServer((socket) => {
  let asked = "";
  socket.on("error", () => {});
  socket.on("data", (data) => {
    asked += data;
    const found = /^GET \/(\d+) /.exec(asked);
    if (!found || !asked.includes("\r\n\r\n")) return;
    asked = "";
    const { data: bytes, how } = answers[Number(found[1])];
    const answer = Buffer.from(bytes, "base64");
    if (how === "fin") socket.end(answer);
    else socket.write(answer, () => how === "rst" && setTimeout(() => socket.resetAndDestroy(), 100));
  });
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const root = `http://127.0.0.1:${server.address().port}/`;

const viaHttp = (number) =>
  new Promise((done) => {
    const seen = { status: 0, body: [], ended: false, error: "" };
    const request = http.get(root + number, { agent: false });
    const finish = () =>
      done(
        seen.ended
          ? { status: seen.status, body: Buffer.concat(seen.body).toString("base64") }
          : { error: seen.error || "ended early" },
      );
    const timer = setTimeout(() => {
      seen.error = "silence";
      request.destroy();
    }, PATIENCE);
    const fail = (error) => (seen.error ||= error.code || error.message);
    request.on("error", fail);
    request.on("upgrade", (response, socket) => {
      seen.error = "upgrade";
      socket.destroy();
    });
    request.on("response", (response) => {
      seen.status = response.statusCode;
      response.on("data", (data) => seen.body.push(data));
      response.on("end", () => (seen.ended = response.complete));
      response.on("error", (error) => setTimeout(fail, 20, error)); // the request's own error says more
    });
    request.on("close", () => {
      clearTimeout(timer);
      setTimeout(finish, 40);
    });
  });

const viaFetch = async (number) => {
  try {
    const response = await fetch(root + number, { signal: AbortSignal.timeout(PATIENCE), redirect: "manual" });
    return { status: response.status, body: Buffer.from(await response.arrayBuffer()).toString("base64") };
  } catch (error) {
    const cause = error.cause ?? error;
    return { error: error.name === "TimeoutError" ? "silence" : (cause.code ?? cause.name) };
  }
};

const results = [];
for (let start = 0; start < answers.length; start += 40) {
  const numbers = [...answers.keys()].slice(start, start + 40);
  const both = async (number) => {
    const [viaOne, viaOther] = await Promise.all([viaHttp(number), viaFetch(number)]);
    return { http: viaOne, fetch: viaOther };
  };
  results.push(...(await Promise.all(numbers.map(both))));
}
process.stdout.write(JSON.stringify({ version: process.versions.node, results }), () => process.exit(0));
