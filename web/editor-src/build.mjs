// Writes ../js/vendor/codemirror.js from codemirror.mjs and the locked packages: `node build.mjs`.
//
// The packages are installed into a temporary folder: the host loads every .js below web/ as an extension, so node_modules must never stand here.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const TARGET = join(HERE, "..", "js", "vendor", "codemirror.js");
const SOURCES = ["build.mjs", "codemirror.mjs", "package-lock.json", "package.json"];

// A test compares both with what stands there: it fails when a source was changed and the bundle was not built anew, and when the bundle was changed.
function fingerprint(...contents) {
  const hash = createHash("sha256");
  for (const content of contents) hash.update(content);
  return hash.digest("hex");
}

function licences(folder) {
  const { packages } = JSON.parse(readFileSync(join(HERE, "package-lock.json"), "utf8"));
  const shipped = Object.entries(packages).filter(([path, entry]) => path && !entry.dev && !entry.optional);
  const names = shipped.map(([path, entry]) => `${path.replace("node_modules/", "")} ${entry.version}`).sort();
  const text = readFileSync(join(folder, "node_modules", "@codemirror", "view", "LICENSE"), "utf8").trim();
  return `${names.join(", ")}\n\n${text}`;
}

const folder = mkdtempSync(join(tmpdir(), "astria-editor-"));
try {
  for (const name of SOURCES) cpSync(join(HERE, name), join(folder, name));
  execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: folder, stdio: "inherit", shell: process.platform === "win32" });
  const esbuild = createRequire(join(folder, "build.mjs"))("esbuild");
  const { outputFiles } = await esbuild.build({
    absWorkingDir: folder,
    entryPoints: ["codemirror.mjs"],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    write: false,
  });
  mkdirSync(dirname(TARGET), { recursive: true });
  const body = outputFiles[0].text;
  const sources = fingerprint(...SOURCES.map((name) => readFileSync(join(HERE, name))));
  writeFileSync(TARGET, `/*! Built by web/editor-src/build.mjs from sources ${sources} as code ${fingerprint(body)}\n\n${licences(folder)}\n*/\n${body}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
