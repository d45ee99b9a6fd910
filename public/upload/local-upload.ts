/** An upload that this tab is sending, as the rows show it. */

export interface LocalUpload {
  fileId: string;
  name: string;
  /** Bytes. */
  size: number;
  sent: number;
  /** waiting: a request failed and will be tried again, or the browser is offline. */
  state: 'queued' | 'sending' | 'waiting' | 'paused' | 'failed';
  /** Why it failed. */
  message?: string;
  /** Known once the server has created the upload. */
  mediaId?: string;
  bytesPerSecond?: number;
}

/** Weight of a new sample of the speed: about the last three seconds count. */
const WEIGHT = 0.3;
const SAMPLE_MS = 800;

/** Measures bytes per second over samples; steps back (a resume at an older offset) start it anew. */
export function createSpeedometer(now: () => number = Date.now): (sent: number) => number | undefined {
  let last: { sent: number; at: number } | undefined;
  let speed: number | undefined;
  return (sent) => {
    const at = now();
    if (!last || sent < last.sent) {
      last = { sent, at };
      speed = undefined;
    } else if (at - last.at >= SAMPLE_MS) {
      const sample = ((sent - last.sent) / (at - last.at)) * 1000;
      speed = speed === undefined ? sample : speed + WEIGHT * (sample - speed);
      last = { sent, at };
    }
    return speed;
  };
}
