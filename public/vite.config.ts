/** Four pages, built to dist/public; the server serves them (`vite build --config public/vite.config.ts`). */
import { resolve } from 'node:path';
import { defineConfig } from 'vite';

const page = (name: string): string => resolve(import.meta.dirname, `${name}.html`);

export default defineConfig({
  root: import.meta.dirname,
  publicDir: 'static',
  appType: 'mpa',
  // Pages name their files from the root, which the server may move below a path; files name each other from where they are.
  experimental: {
    renderBuiltUrl: (_file, { hostType }) => (hostType === 'html' ? undefined : { relative: true }),
  },
  build: {
    outDir: '../dist/public',
    emptyOutDir: true,
    // The Content-Security-Policy allows files of our own, not data: URLs.
    assetsInlineLimit: 0,
    // hls.js alone is more than the default of 500 kB; only the watch page loads it.
    chunkSizeWarningLimit: 900,
    rolldownOptions: { input: ['index', 'watch', 'admin', 'login'].map(page) },
  },
});
