// A client in Node with nothing but fetch:  testbed run vpn-latency --command "node examples/client.mjs"
// The contract: the target is JSON in TESTBED_TARGET; write the text as it arrives; exit 0, or 1 after "testbed-error: <class>".
const target = JSON.parse(process.env.TESTBED_TARGET);
const path = { "openai-chat": "/chat/completions", "anthropic-messages": "/v1/messages", eventsource: "" }[target.dialect];
const STATUSES = { 400: "bad_request", 401: "unauthorized", 403: "permission_denied", 404: "not_found", 409: "conflict",
  413: "too_large", 415: "bad_request", 422: "bad_request", 429: "rate_limited", 503: "overloaded", 529: "overloaded" };
const CAUSES = { ECONNREFUSED: "connect", UND_ERR_CONNECT_TIMEOUT: "connect", ECONNRESET: "reset", EPIPE: "reset",
  UND_ERR_SOCKET: "reset,incomplete", UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "incomplete" };
let shown = false; // the caller has text that another request would repeat

class Failure extends Error {
  constructor(kind, { retry = false, after = 0 } = {}) { super(kind); Object.assign(this, { retry, after }); }
}

function explain(error) { // fetch says what happened in the error's cause
  const code = error.cause?.code ?? "";
  const kind = CAUSES[code] ?? (code.startsWith("HPE_") ? "protocol" : "reset,incomplete,protocol");
  throw new Failure(kind, { retry: true });
}

function within(work) { // every wait has an end
  const [seconds, kind] = shown ? [target.idle_timeout, "idle_timeout"] : [target.first_byte_timeout, "first_byte_timeout"];
  if (seconds === null) return work.catch(explain);
  let timer;
  const alarm = new Promise((_, fail) => { timer = setTimeout(() => fail(new Failure(kind, { retry: true })), seconds * 1000); });
  return Promise.race([work.catch(explain), alarm]).finally(() => clearTimeout(timer));
}

function show(text) { if (text) { shown = true; process.stdout.write(text); } }

function read(data) { // one event of the dialect: "hard", "soft" or nothing
  if (target.dialect === "eventsource") return void show(data);
  if (data === "[DONE]") return "hard";
  let event;
  try { event = JSON.parse(data); } catch { throw new Failure("decode"); }
  if (event.error) throw new Failure(`provider code=${event.error.code ?? event.error.type}`);
  show(event.choices?.[0]?.delta?.content ?? (event.type === "content_block_delta" ? event.delta.text : ""));
  if (event.type === "message_stop") return "hard";
  if (event.choices?.[0]?.finish_reason || event.delta?.stop_reason) return "soft";
}

async function attempt() {
  const headers = { accept: "text/event-stream", "content-type": "application/json", authorization: `Bearer ${target.api_key}` };
  const call = path ? { method: "POST", body: JSON.stringify(target.request), headers } : { headers };
  const answer = await within(fetch(target.base_url + path, call));
  const { status } = answer, after = Number(answer.headers.get("retry-after")) || 0;
  if (status !== 200) {
    const kind = STATUSES[status] ?? (status >= 500 && status !== 504 ? "server_error" : "http_status");
    throw new Failure(`${kind} status=${status}`, { retry: (status === 429 || status === 408 || status >= 500) && after <= 60, after });
  }
  if (!answer.headers.get("content-type")?.startsWith("text/event-stream")) throw new Failure("protocol");
  const decoder = new TextDecoder("utf-8", { fatal: target.dialect !== "eventsource" }), reader = answer.body.getReader();
  for (let rest = "", data = [], terminal; ;) {
    let piece;
    try { piece = await within(reader.read()); }
    catch (error) { if (terminal) return; throw error; } // it has said that it is finished: only the farewell is missing
    if (piece.done && (terminal || target.dialect === "eventsource")) return;
    // On a connection that is to be closed, fetch takes even a reset for the end of the body.
    if (piece.done) throw new Failure("incomplete,reset", { retry: true });
    try { rest += decoder.decode(piece.value, { stream: true }); } catch { throw new Failure("decode"); }
    const lines = rest.split(/\r\n|\n|\r(?!$)/); // a CR at the very end may be half of a CRLF
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (line === "" && data.length) { terminal = read(data.join("\n")) ?? terminal; data = []; }
      if (terminal === "hard") return; // no waiting for the connection to end
    }
  }
}

for (let n = 0; ; n++) {
  try { await attempt(); process.exit(0); } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (shown || !error.retry || n >= target.max_retries) { process.stderr.write(`testbed-error: ${error.message}\n`); process.exit(1); }
    await new Promise((wake) => setTimeout(wake, (error.after || 0.5 * 2 ** n) * 1000));
  }
}
