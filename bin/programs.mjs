/** FFmpeg: found, installed by the system's package manager, or asked for in one line. */
import { BootstrapError, run, step, which } from './bootstrap.mjs';
import { aptGet, asRoot, command } from './system.mjs';

/**
 * Package managers, in order of preference, and what to type. `auto`: may be run for the user as root.
 * (Fedora's own ffmpeg has no H.264 encoder; the one of RPM Fusion, if enabled, is called `ffmpeg`.)
 */
const MANAGERS = [
  { program: 'apt-get', words: ['apt-get', 'install', 'ffmpeg'] },
  { program: 'apk', words: ['apk', 'add', 'ffmpeg'] },
  { program: 'dnf', words: ['dnf', 'install', '-y', 'ffmpeg'], note: 'from https://rpmfusion.org' },
  { program: 'pacman', words: ['pacman', '-S', '--needed', '--noconfirm', 'ffmpeg'] },
  { program: 'zypper', words: ['zypper', '--non-interactive', 'install', 'ffmpeg'] },
  { program: 'brew', words: ['brew', 'install', 'ffmpeg'], unprivileged: true },
  { program: 'winget', words: ['winget', 'install', 'Gyan.FFmpeg'], unprivileged: true },
];

/** Makes sure that ffmpeg and ffprobe can be run. Throws one line that says what to type. */
export async function ensureFfmpeg() {
  if (process.env.ROLE === 'server') return; // it never encodes
  const programs = { FFMPEG_PATH: 'ffmpeg', FFPROBE_PATH: 'ffprobe' };
  const missing = Object.entries(programs).filter(([name, program]) => !which(process.env[name] || program));
  if (!missing.length) return;
  const wrong = missing.find(([name]) => process.env[name]);
  if (wrong) throw new BootstrapError(`${wrong[0]} is ${process.env[wrong[0]]}, which can't be run.`);
  await install();
  const still = missing.map(([, program]) => program).filter((program) => !which(program));
  if (still.length) throw new BootstrapError(`${still.join(' and ')} is still missing. ${whatToType()}`);
}

async function install() {
  const manager = MANAGERS.find(({ program }) => which(program));
  const allowed = manager && manager.program !== 'winget' && (manager.unprivileged || asRoot());
  if (!manager || !allowed) throw new BootstrapError(`FFmpeg is missing. ${whatToType()}`);
  if (manager.program === 'apt-get')
    return aptGet('FFmpeg, and bubblewrap to fence it in', ['ffmpeg', 'bubblewrap']);
  await step(`Installing FFmpeg (${manager.words.join(' ')})`, async () => {
    if (!manager.unprivileged) return command(manager.words);
    const [program = '', ...args] = manager.words;
    const { code, output } = await run(program, args);
    if (code !== 0) throw new BootstrapError(`${output.trimEnd()}\n\nFFmpeg is missing. ${whatToType()}`);
  });
}

/** One line for the person at the keyboard. */
export function whatToType() {
  const manager = MANAGERS.find(({ program }) => which(program));
  if (!manager)
    return 'Install it from https://ffmpeg.org/download.html, or set FFMPEG_PATH and FFPROBE_PATH.';
  const sudo = manager.unprivileged || process.getuid?.() === 0 ? '' : 'sudo ';
  const note = manager.note ? ` (${manager.note})` : '';
  return `Type: ${sudo}${manager.words.join(' ')}${note}   (or set FFMPEG_PATH and FFPROBE_PATH)`;
}
