// Reads requests as JSON lines from standard input, prints yes or no for each.
const fs = require("node:fs");
const path = require("node:path");
const snippet = fs.readFileSync(path.join(__dirname, "verify.js"), "utf8");
const isGenuine = new Function("require", `${snippet}\nreturn isGenuine;`)(require);
for (const line of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const request = JSON.parse(line);
  console.log(isGenuine(request.headers, Buffer.from(request.body), request.secret) ? "yes" : "no");
}
