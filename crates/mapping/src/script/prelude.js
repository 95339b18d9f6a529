// Run once in each new context, before the script of a mapping: takes away what would make a translation depend on
// anything but the record, and freezes the rest. Answers the function that calls a script.
(() => {
  "use strict";
  const kept = new Set([
    "Object", "Array", "String", "Number", "Boolean", "Symbol", "BigInt", "Math", "JSON", "RegExp", "Map", "Set",
    "Iterator", "Reflect", "Proxy", "Error", "AggregateError", "EvalError", "RangeError", "ReferenceError",
    "SyntaxError", "TypeError", "URIError", "InternalError", "parseInt", "parseFloat", "isNaN", "isFinite", "decodeURI",
    "decodeURIComponent", "encodeURI", "encodeURIComponent", "escape", "unescape", "globalThis", "undefined", "NaN",
    "Infinity",
  ]);
  const { freeze, getOwnPropertyDescriptors, getPrototypeOf, defineProperty } = Object;
  const { ownKeys } = Reflect;

  const refusal = (what, why) => function () { throw new TypeError(`${what} is not to be had in a mapping: ${why}`); };
  const noClock = "there is no clock and no time zone; a transaction is made of what was sent, [fields.booked_at] reads times";
  const noCode = "texts are not run as code";
  const put = (object, name, value) => defineProperty(object, name, { value, configurable: true, writable: true });

  // What only syntax leads to.
  const functions = [function () {}, function* () {}, async function () {}, async function* () {}];
  const prototypes = functions.map(getPrototypeOf);
  const hidden = [
    ...prototypes, [].values(), "".matchAll(/x/g), ""[Symbol.iterator](), new Map().entries(), new Set().entries(),
    [].values().map((x) => x), Iterator.from({ next() {} }), (function* () {})(), (async () => {})(),
  ];

  for (const name of ownKeys(globalThis)) {
    if (!kept.has(name) && typeof name === "string") delete globalThis[name];
  }
  for (const name of ["prepareStackTrace", "stackTraceLimit", "captureStackTrace"]) delete Error[name];
  put(Math, "random", refusal("Math.random", "it differs each time; a transaction is made of what was sent"));
  const date = refusal("Date", noClock);
  for (const name of ["now", "parse", "UTC"]) put(date, name, refusal(`Date.${name}`, noClock));
  put(globalThis, "Date", date);
  put(globalThis, "eval", refusal("eval", noCode));
  const maker = refusal("Function", noCode);
  maker.prototype = prototypes[0];
  put(globalThis, "Function", maker);
  for (const prototype of prototypes) put(prototype, "constructor", maker);

  const seen = new Set();
  const open = [globalThis, ...hidden];
  while (open.length > 0) {
    const value = open.pop();
    const isObject = typeof value === "function" || (typeof value === "object" && value !== null);
    if (!isObject || seen.has(value)) continue;
    seen.add(value);
    freeze(value);
    open.push(getPrototypeOf(value));
    const properties = getOwnPropertyDescriptors(value);
    for (const key of ownKeys(properties)) {
      const { value: plain, get, set } = properties[key];
      open.push(plain, get, set);
    }
  }
  return (script, record, document, suffix) => script()(freeze(record), freeze(document), suffix);
})()
