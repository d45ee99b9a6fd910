/** Where the pages lie: at the root of a host, or below the path of PUBLIC_URL, which the server wrote into the page. */
const ROOT = document.documentElement.dataset.root ?? '';

/** The address of a path of this server, `/api/me` for one. */
export const at = (path: string): string => ROOT + path;
