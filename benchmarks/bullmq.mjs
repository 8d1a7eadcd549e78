// A queue of BullMQ's emptied into the sandbox, one job a message; what it keeps is Redis's to make durable.
//
//     node bullmq.mjs FOLDER_WITH_NODE_MODULES REDIS_SOCKET URL COUNT
//
// Prints a line of JSON: count, seconds from the first job to the last, and this process's CPU seconds.
import http from "node:http";
import { createRequire } from "node:module";

const [folder, path, url, asked] = process.argv.slice(2);
const count = Number(asked);
const { Queue, Worker } = createRequire(`${folder}/`)("bullmq");
const connection = { path, maxRetriesPerRequest: null };
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
const address = `${url}/v25.0/100000000000001/messages`;
const headers = { Authorization: "Bearer t", "Content-Type": "application/json" };

function body(number) {
  const texts = ["Ana", "Monday", "10:00", `file ${number}`];
  return JSON.stringify({
    messaging_product: "whatsapp",
    recipient_type: "individual",
    // The sandbox is told what to do by four last digits from 9000 on.
    to: `+90556${String(Math.floor(number / 9000)).padStart(3, "0")}${String(number % 9000).padStart(4, "0")}`,
    type: "template",
    template: {
      name: "appointment",
      language: { code: "en" },
      components: [{ type: "body", parameters: texts.map((text) => ({ type: "text", text })) }],
    },
    biz_opaque_callback_data: `bullmq.${number}.1`,
  });
}

function post(job) {
  return new Promise((resolve, reject) => {
    const text = body(job.data.number);
    const length = { "Content-Length": Buffer.byteLength(text) };
    const request = http.request(address, { method: "POST", agent, headers: { ...headers, ...length } });
    request.on("error", reject);
    request.on("response", (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => resolve(JSON.parse(Buffer.concat(parts)).messages[0].id));
    });
    request.end(text);
  });
}

const queue = new Queue("send", { connection });
for (let first = 0; first < count; first += 5000) {
  const numbers = Array.from({ length: Math.min(5000, count - first) }, (_, i) => first + i);
  await queue.addBulk(numbers.map((number) => ({ name: "send", data: { number } })));
}
const began = process.hrtime.bigint();
const before = process.cpuUsage();
let done = 0;
await new Promise((resolve, reject) => {
  const worker = new Worker("send", post, { connection, concurrency: 300 });
  worker.on("completed", () => ++done === count && resolve());
  worker.on("failed", (_, error) => reject(error));
});
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
const { user, system } = process.cpuUsage(before);
console.log(JSON.stringify({ count, seconds, cpu: (user + system) / 1e6 }));
process.exit(0);
