import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const TEXT = /\.(js|css|html|svg)$/;

/** Leaves a .gz beside every text file, for the server to send as it is. */
function packed(): Plugin {
  let dir = '';
  return {
    name: 'daybook-packed',
    apply: 'build',
    configResolved: (config) => {
      dir = config.build.outDir;
    },
    closeBundle: () => {
      for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
        if (!TEXT.test(name)) continue;
        const data = readFileSync(join(dir, name));
        const small = gzipSync(data, { level: 9 });
        if (small.length < data.length) writeFileSync(join(dir, `${name}.gz`), small);
      }
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
