import { SCHEMAS } from '../../attest/index.ts'
import { ERRORS } from '../../core/index.ts'
import { wireJsonSchema } from '../../wire/index.ts'
import type { Route } from './route.ts'

const STYLE = `
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:#f4f6f9;padding:.8rem;overflow:auto}
h2{margin-top:2.5rem}section{border-top:1px solid #dde3ea;padding:.8rem 0}summary{cursor:pointer}
b{display:inline-block;min-width:3.5rem}em{color:#5a6675}td,th{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0}
@media(prefers-color-scheme:dark){body{color:#dfe6ee;background:#12161b}pre{background:#1b2129}section{border-color:#2c3540}}`

/** One page without scripts or anything from elsewhere: every route with its bodies, and every code with its hint. */
export function docsPage(routes: readonly Route[], version: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Touchstone verifier</title><style>${STYLE}</style>
<h1>Touchstone verifier <small>${escape(version)}</small></h1>
<p>The same as a document for programs: <a href="/openapi.json">/openapi.json</a>. Bodies are JSON, or CBOR with
<code>application/cbor</code>; bytes are base64url in the one and byte strings in the other. Refusals are
<code>application/problem+json</code> with one of the <a href="#codes">codes</a> below. What policies, reference sets and exceptions
look like, for editors: ${schemaLinks()}.</p>
<h2>Routes</h2>${routes.map(section).join('')}
<h2 id="codes">Codes</h2><table><tr><th>Code<th>Status<th>What it means, and what to do</tr>${codeRows()}</table></html>`
}

function schemaLinks(): string {
  return Object.keys(SCHEMAS)
    .map((kind) => `<a href="/schemas/${escape(kind)}.json">/schemas/${escape(kind)}.json</a>`)
    .join(', ')
}

/** Fits the page's own style and nothing else. */
export const DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"

function section(route: Route): string {
  const { params, query, body, answer } = route.schemas
  const parts = { parameters: params, query, body, answer }
  return `<section id="${escape(route.operation)}"><b>${route.method}</b> <code>${escape(route.path)}</code>
<em>${route.access === 'public' || route.access === 'node' ? 'no token' : escape(route.access)}</em>
<div>${escape(route.summary)}</div>${Object.entries(parts)
    .map(([name, schema]) =>
      schema === undefined
        ? ''
        : `<details><summary>${name}</summary><pre>${escape(JSON.stringify(wireJsonSchema(schema), null, 2))}</pre></details>`,
    )
    .join('')}</section>`
}

function codeRows(): string {
  return Object.entries(ERRORS)
    .map(
      ([code, { status, title, hint }]) =>
        `<tr id="${escape(code)}"><td><code>${escape(code)}</code><td>${status}<td>${escape(title)}. ${escape(hint)}</tr>`,
    )
    .join('')
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
