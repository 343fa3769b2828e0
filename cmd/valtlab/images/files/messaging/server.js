'use strict';
// The messaging service of the practice site (stand-in): channels that keep messages until
// somebody takes them. POST /channels/NAME puts one in, GET takes the oldest out (204:
// there is none). GET /health needs no password.
const http = require('http');
const crypto = require('crypto');
const fs = require('fs');

const digest = (text) => crypto.createHash('sha256').update(text).digest();
const expected = digest('Bearer ' + fs.readFileSync('/run/valt/messaging', 'utf8').trim());
const version = fs.readFileSync('/srv/valt/version', 'utf8').trim();

const maxMessage = 64 * 1024; // bytes
const maxKept = 10000; // messages in all channels
const channels = new Map();
let kept = 0;

function answer(response, status, text) {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' });
  response.end(text);
}

function put(name, message) {
  if (kept >= maxKept) return false;
  if (!channels.has(name)) channels.set(name, []);
  channels.get(name).push(message);
  kept += 1;
  return true;
}

function take(name) {
  const messages = channels.get(name);
  if (messages === undefined) return undefined;
  const message = messages.shift();
  kept -= 1;
  if (messages.length === 0) channels.delete(name);
  return message;
}

function receive(request, response, name) {
  const parts = [];
  let size = 0;
  request.on('data', (part) => {
    size += part.length;
    if (size <= maxMessage) parts.push(part);
  });
  request.on('end', () => {
    if (size > maxMessage) return answer(response, 413, 'too large\n');
    if (!put(name, Buffer.concat(parts))) return answer(response, 507, 'full\n');
    return answer(response, 202, '');
  });
}

const server = http.createServer((request, response) => {
  if (request.url === '/health') return answer(response, 200, `messaging (stand-in) ${version}\n`);
  const given = digest(request.headers.authorization || '');
  if (!crypto.timingSafeEqual(given, expected)) return answer(response, 401, 'password wanted\n');
  const match = /^\/channels\/([A-Za-z0-9._-]{1,100})$/.exec(request.url);
  if (match === null) return answer(response, 404, 'no such thing\n');
  if (request.method === 'POST') return receive(request, response, match[1]);
  if (request.method !== 'GET') return answer(response, 405, 'POST or GET\n');
  const message = take(match[1]);
  return message === undefined ? answer(response, 204, '') : answer(response, 200, message);
});

process.on('SIGTERM', () => process.exit(0));
server.listen(3000, '0.0.0.0', () => console.log(`messaging (stand-in) ${version} listens on 3000`));
