/** Where to go after the login: a path of this site, never another site's address. `home`: what else, and where its pages begin. */
export function safeNext(next: string | null, origin: string, home: string): string {
  if (!next || !URL.canParse(next, origin)) return home;
  const { origin: there, pathname, search } = new URL(next, origin);
  const isOurs = there === origin && pathname.startsWith(home) && pathname !== `${home}login`;
  return isOurs ? pathname + search : home;
}
