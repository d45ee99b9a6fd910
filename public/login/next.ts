/** Where to go after the login: a path of this site, never another site's address. */
export function safeNext(next: string | null, origin: string): string {
  if (!next || !URL.canParse(next, origin)) return '/';
  const url = new URL(next, origin);
  return url.origin === origin && url.pathname !== '/login' ? url.pathname + url.search : '/';
}
