// What the binding answers, as fields.
import { Fields } from './lines.mjs';

function instance(one) {
  const { id, address, weight, zone, version, status, ttlMs, revision, metadata } = one;
  const fields = new Fields({ id, address, weight, zone, version, status, ttl_ms: ttlMs, revision });
  for (const [key, value] of Object.entries(metadata)) fields.set(`metadata.${key}`, value);
  return fields;
}

function freshness({ state, complete, revision }) {
  return new Fields({ state, complete, revision });
}

export function view(shown) {
  const fields = freshness(shown.freshness).set('instances', shown.instances.length);
  shown.instances.forEach((one, number) => fields.putUnder(`instance.${number}.`, instance(one)));
  return fields;
}

export function keyValue({ key, value, version, createRevision, modRevision, lease }) {
  return new Fields({
    key,
    value,
    version,
    create_revision: createRevision,
    mod_revision: modRevision,
    lease,
  });
}

export function putResult({ revision, previous }) {
  const fields = new Fields({ revision });
  if (previous !== null) fields.set('previous', previous.value);
  return fields;
}

export function rangeResult({ count, more, kvs }) {
  const fields = new Fields({ count, more, kvs: kvs.length });
  kvs.forEach((kv, number) => fields.putUnder(`kv.${number}.`, keyValue(kv)));
  return fields;
}

export function txnResult({ succeeded, results }) {
  const fields = new Fields({ succeeded, results: results.length });
  results.forEach((one, number) => {
    const [kind, under] = result(one);
    fields.set(`result.${number}.kind`, kind).putUnder(`result.${number}.`, under);
  });
  return fields;
}

function result(one) {
  if (typeof one === 'number') return ['delete', new Fields({ deleted: one })];
  if ('results' in one) return ['txn', txnResult(one)];
  if ('kvs' in one) return ['range', rangeResult(one)];
  return ['put', putResult(one)];
}

/** What a stream gives. */
export function item(one) {
  if ('token' in one) return leader(one);
  return 'events' in one ? batch(one) : serviceEvent(one);
}

export function leader({ value, key, token }) {
  return new Fields({ value, key, token });
}

function serviceEvent({ kind, view: shown, added, updated, removed }) {
  const fields = kind === 'state' ? freshness(shown.freshness) : view(shown);
  fields.set('kind', kind);
  if (kind === 'changed') {
    fields.setList('added', added.map(({ id }) => id));
    fields.setList('updated', updated.map(({ id }) => id));
    fields.setList('removed', removed.map(({ instance }) => instance.id));
    fields.setList('reasons', removed.map(({ reason }) => reason ?? 'none'));
  }
  return fields;
}

function batch({ revision, events }) {
  const fields = new Fields({ revision, events: events.length });
  events.forEach(({ kind, kv, previous }, number) => {
    const under = new Fields({ kind, key: kv.key, mod_revision: kv.modRevision });
    if (kind === 'put') {
      const { value, version, createRevision, lease } = kv;
      under.set('value', value).set('version', version).set('create_revision', createRevision);
      under.set('lease', lease);
    }
    if (previous !== null) under.set('previous', previous.value);
    fields.putUnder(`event.${number}.`, under);
  });
  return fields;
}
