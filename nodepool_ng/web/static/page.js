// Keeps ages going, and puts in what the launcher sends when something changed.
"use strict";

function spell(seconds) {
  seconds = Math.max(0, Math.floor(seconds));
  if (seconds < 120) return seconds + " s";
  if (seconds < 7200) return Math.floor(seconds / 60) + " min";
  if (seconds < 172800) return Math.floor(seconds / 3600) + " h";
  return Math.floor(seconds / 86400) + " d";
}

let skew = 0; // seconds that the launcher's clock is ahead of ours

function ages() {
  const now = Date.now() / 1000 + skew;
  for (const time of document.querySelectorAll("time[data-since]")) {
    time.textContent = spell(now - Number(time.dataset.since));
    if (!time.title) time.title = new Date(Number(time.dataset.since) * 1000).toISOString();
  }
}

const link = document.getElementById("link");

function told(text, kind) {
  link.textContent = text;
  link.className = "badge " + kind;
}

const first = link.querySelector("time");
if (first) skew = Number(first.dataset.since) - Date.now() / 1000;
ages();
setInterval(ages, 1000);

const source = new EventSource("events");
source.addEventListener("page", (event) => {
  document.getElementById("page").innerHTML = event.data;
  ages();
});
source.addEventListener("clock", (event) => {
  skew = Number(event.data) - Date.now() / 1000;
  told("live", "good");
});
source.onerror = () => told("not connected", "bad");
