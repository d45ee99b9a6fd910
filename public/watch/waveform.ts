/** The shape of a sound above its player: shows how far it is, and a click goes there. */
import { h } from '../ui/dom.ts';

/** The part of audiowaveform's data format (version 2) that is drawn: lowest and highest samples in turn. */
interface WaveformFile {
  bits: number;
  data: number[];
}

const BARS = 200;
/** Units of a bar and of the gap behind it. */
const BAR = 2;
const GAP = 1;
const HEIGHT = 100;
/** Quiet recordings are drawn larger, silence is not. */
const QUIETEST = 0.06;
/** Of the height: so that silence is a line. */
const LEAST = 0.02;

/**
 * An element that fills itself once the file is there, at the top of a media-controller. Pointers only: the time range does
 * the same for keys.
 */
export function waveform(video: HTMLMediaElement, url: string): HTMLElement {
  const element = h('div', {
    class: 'waveform',
    'aria-hidden': 'true',
    slot: 'top-chrome',
    noautohide: true,
  });
  const follow = (): void => {
    const played = video.duration > 0 ? video.currentTime / video.duration : 0;
    element.style.setProperty('--played', `${played * 100}%`);
  };
  for (const event of ['timeupdate', 'seeking', 'durationchange']) video.addEventListener(event, follow);
  element.addEventListener('click', (event) => {
    const { left, width } = (element.firstElementChild ?? element).getBoundingClientRect();
    const part = Math.max(0, Math.min(1, (event.clientX - left) / width));
    if (video.duration > 0) video.currentTime = part * video.duration;
  });
  void draw(element, url);
  return element;
}

/** What can't be had is not drawn: the player works without. */
async function draw(element: HTMLElement, url: string): Promise<void> {
  try {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`the waveform was answered ${answer.status}`);
    const path = barsOf((await answer.json()) as WaveformFile);
    element.replaceChildren(picture(path, 'rest'), picture(path, 'played'));
  } catch (error) {
    console.warn(error);
    element.remove();
  }
}

function picture(path: string, name: string): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', `0 0 ${BARS * (BAR + GAP) - GAP} ${HEIGHT}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('class', name);
  const shape = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  shape.setAttribute('d', path);
  svg.append(shape);
  return svg;
}

/** Bars around the middle line, each as high as the loudest of its moments. */
export function barsOf({ bits, data }: WaveformFile): string {
  const full = 2 ** (bits - 1);
  const levels = Array.from({ length: Math.floor(data.length / 2) }, (_, n) =>
    Math.max(Math.abs(data[2 * n] ?? 0), Math.abs(data[2 * n + 1] ?? 0)),
  );
  const bars = Array.from({ length: BARS }, (_, n) => {
    const from = Math.floor((n * levels.length) / BARS);
    const to = Math.max(from + 1, Math.floor(((n + 1) * levels.length) / BARS));
    return Math.max(0, ...levels.slice(from, to)) / full;
  });
  const loudest = Math.max(QUIETEST, ...bars);
  return bars
    .map((level, n) => {
      const height = Math.max(LEAST, Math.min(1, level / loudest)) * HEIGHT;
      return `M${n * (BAR + GAP)} ${((HEIGHT - height) / 2).toFixed(1)}h${BAR}v${height.toFixed(1)}h-${BAR}z`;
    })
    .join('');
}
