// Parses a diagram with mermaid: node parse.mjs <folder with node_modules> <diagram>. Mermaid wants a document, which jsdom has.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, diagram] = process.argv.slice(2);
const folder = resolve(modules, "node_modules");
const { JSDOM } = createRequire(join(folder, "index.js"))("jsdom");
globalThis.window = new JSDOM("").window;
globalThis.document = globalThis.window.document;
const { default: mermaid } = await import(pathToFileURL(join(folder, "mermaid/dist/mermaid.core.mjs")));
console.log(JSON.stringify(await mermaid.parse(readFileSync(diagram, "utf8"))));
