/** Requests that a good client never makes: broken off in the middle. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** Sends the head of a PATCH up to `length` and some of its body. The connection stays open. */
export async function startPatch(
  port: number,
  id: string,
  offset: number,
  length: number,
  body: Buffer,
  headers: Record<string, string> = {},
): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(
    [
      `PATCH /files/${id} HTTP/1.1`,
      'Host: localhost',
      'Tus-Resumable: 1.0.0',
      'Authorization: Bearer alice',
      'Content-Type: application/offset+octet-stream',
      `Upload-Offset: ${offset}`,
      `Content-Length: ${length - offset}`,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      '\r\n',
    ].join('\r\n'),
  );
  await new Promise((resolve) => socket.write(body, resolve));
  return socket;
}
