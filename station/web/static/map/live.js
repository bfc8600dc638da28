// Follows units and hits, and says how old what is shown is: an open connection proves nothing.

const OLD_S = 15;

export class Live {
  constructor(address, onUpdate, onAge) {
    this.address = address;
    this.onUpdate = onUpdate;
    this.onAge = onAge;
    this.heardMs = null;
    this.stationUs = null;
    setInterval(() => this.tell(), 1000);
    this.open();
  }

  open() {
    const stream = new EventSource(this.address);
    stream.addEventListener("update", (event) => {
      const told = JSON.parse(event.data);
      this.heard(told.now_us);
      this.onUpdate(told);
    });
    stream.addEventListener("still", (event) => this.heard(JSON.parse(event.data).now_us));
    stream.addEventListener("error", () => {
      // Closed by the browser for good: the session has ended, or the station answers something else.
      if (stream.readyState === EventSource.CLOSED) setTimeout(() => this.open(), 5000);
      this.tell();
    });
  }

  heard(nowUs) {
    this.heardMs = performance.now();
    this.stationUs = nowUs;
    this.tell();
  }

  // The station's time now, by its own clock.
  nowUs() {
    return this.heardMs === null ? null : this.stationUs + (performance.now() - this.heardMs) * 1000;
  }

  tell() {
    const silentS = this.heardMs === null ? null : (performance.now() - this.heardMs) / 1000;
    this.onAge({ silentS, isOld: silentS === null || silentS > OLD_S, nowUs: this.nowUs() });
  }
}
