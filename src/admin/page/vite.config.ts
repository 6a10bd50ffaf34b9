/** Builds the live page into the package. `tsc -b` knows nothing of it, nor it of Node. */
import { defineConfig } from "vite";

export default defineConfig({
  // Relative, so that the page also works below a path of a balancer's.
  base: "./",
  build: {
    outDir: "../../../dist/admin/page",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the page's policy knows no data: URLs
    modulePreload: false,
    license: { fileName: "licences.txt" },
  },
});
