// The lines of the performer protocol: fields read, and written.

/** A mistake of the scenario or of this performer, or what JavaScript cannot write down. */
export class Refused extends Error {
  constructor(code, about) {
    super(about);
    this.code = code;
  }
}

const mistake = (name, about) => new Refused(`performer:${name}`, about);

function bytesOf(value) {
  return value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(String(value));
}

function quote(value, plain) {
  return Array.from(bytesOf(value), (byte) => {
    const char = String.fromCharCode(byte);
    return plain.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }).join('');
}

const PLAIN = /[A-Za-z0-9._:/@+,-]/;
const ELEMENT = /[A-Za-z0-9._:/@+-]/;

function unquote(text) {
  const parts = text.split('%');
  const bytes = parts.slice(1).map((part) => {
    const byte = Number.parseInt(part.slice(0, 2), 16);
    return Buffer.concat([Buffer.of(byte), Buffer.from(part.slice(2))]);
  });
  return Buffer.concat([Buffer.from(parts[0]), ...bytes]);
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(bytes) {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new Refused('host:utf8', 'text that is not UTF-8');
  }
}

/** What an answer says. */
export class Fields {
  #fields = [];

  constructor(values = {}) {
    for (const [key, value] of Object.entries(values)) this.set(key, value);
  }

  set(key, value) {
    this.#fields.push([key, quote(value, PLAIN)]);
    return this;
  }

  setList(key, values) {
    this.#fields.push([key, Array.from(values, (value) => quote(value, ELEMENT)).join(',')]);
    return this;
  }

  putUnder(prefix, other) {
    for (const [key, value] of other.#fields) this.#fields.push([prefix + key, value]);
    return this;
  }

  toString() {
    return this.#fields.map(([key, value]) => ` ${quote(key, PLAIN)}=${value}`).join('');
  }
}

/** A command's fields, taken out one by one. */
export class Arguments {
  #raw;

  constructor(raw) {
    this.#raw = raw;
  }

  static read(fields) {
    const raw = new Map();
    for (const field of fields) {
      const sign = field.indexOf('=');
      if (sign < 0) throw mistake('malformed', field);
      raw.set(textOf(unquote(field.slice(0, sign))), field.slice(sign + 1));
    }
    return new Arguments(raw);
  }

  #take(key) {
    const raw = this.#raw.get(key);
    this.#raw.delete(key);
    return raw;
  }

  bytes(key) {
    const raw = this.#take(key);
    return raw === undefined ? undefined : unquote(raw);
  }

  text(key) {
    const bytes = this.bytes(key);
    return bytes === undefined ? undefined : textOf(bytes);
  }

  texts(key) {
    const raw = this.#take(key);
    if (raw === undefined) return undefined;
    return raw === '' ? [] : raw.split(',').map((part) => textOf(unquote(part)));
  }

  number(key) {
    const text = this.text(key);
    return text === undefined ? undefined : Number(text);
  }

  flag(key) {
    const text = this.text(key);
    return text === undefined ? undefined : text === 'true';
  }

  needed(key) {
    const bytes = this.bytes(key);
    if (bytes === undefined) throw mistake('missing_key', key);
    return bytes;
  }

  neededText(key) {
    return textOf(this.needed(key));
  }

  /** What is under a prefix, by what the user chose; `undefined` if there is nothing. */
  chosen(prefix) {
    const keys = [...this.#raw.keys()].filter((key) => key.startsWith(prefix));
    if (keys.length === 0) return undefined;
    return Object.fromEntries(keys.map((key) => [key.slice(prefix.length), this.neededText(key)]));
  }

  /** What is under `PREFIX.0`, `PREFIX.1`… */
  numbered(prefix) {
    const found = [];
    for (;;) {
      const start = `${prefix}.${found.length}.`;
      const keys = [...this.#raw.keys()].filter((key) => key.startsWith(start));
      if (keys.length === 0) return found;
      found.push(new Arguments(new Map(keys.map((key) => [key.slice(start.length), this.#take(key)]))));
    }
  }

  /** Everything was taken. */
  end() {
    for (const key of this.#raw.keys()) throw mistake('unknown_key', key);
  }
}

/** Options without those that were not given: they have the binding's default. */
export function given(options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
