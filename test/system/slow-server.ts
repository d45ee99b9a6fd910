/** A server whose FFmpeg takes its time, and a film to upload to it: what is half done can be seen, and interrupted. */
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openDatabase, type Db } from '../../db/dialect.ts';
import { makeMedia } from '../media.ts';
import { startServer, type TestServer } from '../server.ts';
import { slowFfmpeg } from '../slow-ffmpeg.ts';

export interface SlowServer {
  server: TestServer;
  db: Db;
  /** Its picture is H.264 with a key frame every 2 s, and plays as it is. */
  film: string;
  dispose(): Promise<void>;
}

/** `size` of the film and its seconds; its container by the name's ending. */
export async function slowServer(
  { name, size, seconds }: { name: string; size: string; seconds: number },
  env: Record<string, string>,
): Promise<SlowServer> {
  const ffmpeg = await slowFfmpeg(8);
  const film = await makeMedia(name, [
    ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=25:duration=${seconds}`],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '50'],
  ]);
  const quick = { X264_PRESET: 'ultrafast', CHUNK_SECONDS: '12', STORYBOARD: 'off', JOB_LEASE: '5s' };
  const server = await startServer({ ...ffmpeg.env, ...quick, ...env });
  const db = openDatabase({ file: join(server.dataDir, 'millrace.db') });
  return {
    ...{ server, db, film },
    async dispose() {
      await db.destroy();
      await server.dispose();
      await ffmpeg.dispose();
      await rm(dirname(film), { recursive: true });
    },
  };
}
