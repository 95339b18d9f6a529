import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const TEXT = /\.(js|css|html|svg)$/;

/** All of it, packed, in bytes: the first visit on a slow line. */
const PACKED_MAX = 120_000;

/** Leaves a .gz beside every text file, for the server to send as it is; fails when they are too large together. */
function packed(): Plugin {
  let dir = '';
  return {
    name: 'daybook-packed',
    apply: 'build',
    configResolved: (config) => {
      dir = config.build.outDir;
    },
    closeBundle: () => {
      let sum = 0;
      for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
        if (!TEXT.test(name)) continue;
        const data = readFileSync(join(dir, name));
        const small = gzipSync(data, { level: 9 });
        if (small.length < data.length) writeFileSync(join(dir, `${name}.gz`), small);
        sum += Math.min(small.length, data.length);
      }
      if (sum > PACKED_MAX) throw new Error(`the page has ${sum} bytes packed, more than ${PACKED_MAX}`);
      console.log(`${sum} of ${PACKED_MAX} bytes packed`);
    },
  };
}

export default defineConfig({
  plugins: [svelte(), packed()],
  build: { outDir: 'dist', target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: {
    // `npm run dev` beside a running Daybook.
    proxy: { '/api': { target: process.env.DAYBOOK_WEB ?? 'http://127.0.0.1:8080', changeOrigin: true } },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
