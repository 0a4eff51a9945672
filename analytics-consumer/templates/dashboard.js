// Draws the snapshot that came with the page, then every one that the live socket sends.
"use strict";

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const MINUTES = 60, WIDTH = 720, HEIGHT = 200;
const MAX_PAUSE_MS = 10000;

function rows(id, lines) {
  byId(id).replaceChildren(...lines.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return row;
  }));
}

function chart(stats) {
  const end = Math.floor(Date.parse(stats.end) / 60000) * 60000;
  const points = new Map(stats.series.map((point) => [point.start_ms, point]));
  const most = Math.max(1, ...stats.series.map((point) => point.payments));
  const bars = [];
  for (let minute = 0; minute < MINUTES; minute++) {
    const point = points.get(end - (MINUTES - 1 - minute) * 60000);
    let top = HEIGHT;
    for (const [kind, count] of point ? [["good", point.succeeded], ["bad", point.failed], ["rest", point.other]] : []) {
      const height = (count / most) * (HEIGHT - 10);
      top -= height;
      const bar = document.createElementNS(SVG, "rect");
      const shape = { class: kind, x: minute * (WIDTH / MINUTES) + 1, y: top, width: WIDTH / MINUTES - 2, height };
      for (const [name, value] of Object.entries(shape)) bar.setAttribute(name, value);
      bars.push(bar);
    }
  }
  byId("chart").replaceChildren(...bars);
}

function draw(snapshot) {
  const { stats, newest } = snapshot;
  for (const id of ["payments", "succeeded", "failed", "other"]) byId(id).textContent = stats.total[id];
  const rate = stats.total.success_rate;
  byId("success_rate").textContent = rate === null ? "–" : `${(rate * 100).toFixed(1)} %`;
  rows("volume", Object.entries(stats.total.volume).map(([currency, v]) => [currency, v.amount, v.amount_refunded]));
  rows("payouts", ["settlements", "withdrawals"].flatMap((kind) =>
    Object.entries(stats[kind]).map(([status, count]) => [kind, status, count])));
  rows("events", newest.map((event) => [
    event.occurred_at.slice(11, 23), event.event_type, event.payment_no,
    event.old_status && event.old_status !== event.new_status ? `${event.old_status} → ${event.new_status}` : event.new_status,
    `${event.amount} ${event.currency}`,
  ]));
  chart(stats);
}

function state(text, live) {
  byId("state").textContent = text;
  byId("state").classList.toggle("live", live);
}

async function connect(pauseMs) {
  const again = () => {
    state("reconnecting", false);
    setTimeout(connect, pauseMs, Math.min(pauseMs * 2, MAX_PAUSE_MS));
  };
  let answer;
  try {
    answer = await fetch("/api/v1/live/tickets", { method: "POST" });
  } catch {
    return again();
  }
  if (answer.status === 401) return location.reload();
  if (!answer.ok) return again();
  const { ticket } = await answer.json();
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/live?ticket=${ticket}`);
  socket.onopen = () => { pauseMs = 500; state("live", true); };
  socket.onmessage = (message) => draw(JSON.parse(message.data));
  socket.onclose = again;
}

draw(JSON.parse(document.body.dataset.snapshot));
connect(500);
