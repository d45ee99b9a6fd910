/** Numbers and times as people read them. */

const UNITS = ['bytes', 'KB', 'MB', 'GB', 'TB'];

/** `1536` -> `1.5 KB`; powers of 1024, as in the server's settings. */
export function size(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  if (power === 0) return `${bytes} ${bytes === 1 ? 'byte' : 'bytes'}`;
  return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)} ${UNITS[power]}`;
}

/** Seconds as on a player: `4:05`, `1:02:03`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const pad = (n: number): string => String(n).padStart(2, '0');
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

/** Seconds that are left, roughly: `a few seconds left`, `40 s left`, `5 min left`, `2 h left`. */
export function timeLeft(seconds: number): string {
  if (seconds < 5) return 'a few seconds left';
  if (seconds < 60) return `${Math.ceil(seconds / 5) * 5} s left`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min left`;
  return `${Math.round(seconds / 3600)} h left`;
}

/** `34.27` -> `34%`. Never 100% before it is whole. */
export function percent(value: number): string {
  return `${value >= 100 ? 100 : Math.floor(Math.max(0, value))}%`;
}

/** Bits per second: `2.4 Mbit/s`. */
export function bitrate(bits: number): string {
  return bits >= 1e6 ? `${Number((bits / 1e6).toFixed(1))} Mbit/s` : `${Math.round(bits / 1000)} kbit/s`;
}

/** How long ago, in words of the page's language (English). */
export function ago(time: number | string, now = Date.now()): string {
  const seconds = Math.max(0, (now - new Date(time).getTime()) / 1000);
  if (seconds < 45) return 'just now';
  if (seconds < 3000) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 22 * 3600) return `${Math.max(1, Math.round(seconds / 3600))} h ago`;
  if (seconds < 26 * 86_400) return `${Math.max(1, Math.round(seconds / 86_400))} d ago`;
  return new Date(time).toLocaleDateString('en', { year: 'numeric', month: 'short', day: 'numeric' });
}

/** Date and time to the second, for titles and details. */
export function dateTime(time: number | string): string {
  return new Date(time).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'medium' });
}
