/** Conditions and operations of transactions, as plain values. */

import type * as native from '../native/index.js';
import type { SortBy } from '../native/index.js';
import { known } from './options.js';

/** A key or a value; a string is taken as UTF-8. */
export type Bytes = string | Uint8Array;
/** A lease, or its id. */
export type LeaseLike = bigint | { readonly id: bigint };
/** How a stored value is compared with a given one. */
export type ComparisonSymbol = '==' | '!=' | '>' | '<';

/** How to write a key. */
export interface PutOptions {
  /** The lease with which the key goes. */
  lease?: LeaseLike | undefined;
  /** Also answer what the key was before. */
  previous?: boolean | undefined;
}

/** How to read a range. */
export interface RangeOptions {
  /** All keys that begin with it. */
  prefix?: Bytes | undefined;
  /** The first key. */
  start?: Bytes | undefined;
  /** The first key that is left out. */
  end?: Bytes | undefined;
  /** At most so many records; 0: all of them. */
  limit?: number | undefined;
  /** As it was at this revision; 0: now. */
  revision?: number | undefined;
  /** What to sort by. */
  sort?: SortBy | undefined;
  /** Greatest first. */
  descending?: boolean | undefined;
  /** Without values. */
  keysOnly?: boolean | undefined;
  /** Only how many there are. */
  countOnly?: boolean | undefined;
  /** Whatever the asked server has, which may be stale. */
  serializable?: boolean | undefined;
  /** Only records created at this revision or before; 0: all. */
  maxCreateRevision?: number | undefined;
}

/** The names of a range's options. */
export const RANGE = [
  'prefix',
  'start',
  'end',
  'limit',
  'revision',
  'sort',
  'descending',
  'keysOnly',
  'countOnly',
  'serializable',
  'maxCreateRevision',
] as const;

/** The id of a lease. */
export function leaseId(lease: LeaseLike): bigint {
  return typeof lease === 'object' ? lease.id : lease;
}

/** What the native addon wants to know of a write. */
export function writing(options: PutOptions | undefined): native.Put {
  const { lease, previous } = known(options, ['lease', 'previous']);
  return {
    ...(lease === undefined ? {} : { lease: leaseId(lease) }),
    ...(previous === undefined ? {} : { previous }),
  };
}

/** A condition on one key, or on every key of a prefix. A missing key has revisions, version and
 * lease 0, and no value: a comparison of its value never holds. */
export class Compare {
  /** @internal */
  readonly comparison: native.Comparison;

  private constructor(comparison: native.Comparison) {
    this.comparison = Object.freeze(comparison);
  }

  /** The key is there. */
  static exists(key: Bytes): Compare {
    return new Compare({ target: 'exists', key });
  }

  /** The key is not there. */
  static missing(key: Bytes): Compare {
    return new Compare({ target: 'missing', key });
  }

  /** The key's value. */
  static value(key: Bytes, symbol: ComparisonSymbol, value: Bytes): Compare {
    return new Compare({ target: 'value', key, symbol, value });
  }

  /** How many changes since the creation. */
  static version(key: Bytes, symbol: ComparisonSymbol, version: number): Compare {
    return new Compare({ target: 'version', key, symbol, number: version });
  }

  /** The revision at which the key was created. */
  static createRevision(key: Bytes, symbol: ComparisonSymbol, revision: number): Compare {
    return new Compare({ target: 'create_revision', key, symbol, number: revision });
  }

  /** The revision of the key's last change. */
  static modRevision(key: Bytes, symbol: ComparisonSymbol, revision: number): Compare {
    return new Compare({ target: 'mod_revision', key, symbol, number: revision });
  }

  /** The lease the key is attached to. */
  static lease(key: Bytes, symbol: ComparisonSymbol, lease: LeaseLike): Compare {
    return new Compare({ target: 'lease', key, symbol, lease: leaseId(lease) });
  }

  /** The same for every key that begins with this one's key. */
  prefix(): Compare {
    return new Compare({ ...this.comparison, prefix: true });
  }
}

/** One operation of a transaction. */
export class Op {
  /** @internal */
  readonly operation: native.Operation;

  private constructor(operation: native.Operation) {
    this.operation = Object.freeze(operation);
  }

  /** Writes a key. */
  static put(key: Bytes, value: Bytes, options?: PutOptions): Op {
    return new Op({ put: { key, value, options: writing(options) } });
  }

  /** Reads a key. */
  static get(key: Bytes): Op {
    return new Op({ get: key });
  }

  /** Reads a range. */
  static range(options: RangeOptions): Op {
    return new Op({ range: known(options, RANGE) as native.Range });
  }

  /** Deletes a key, or all keys that begin with it. */
  static delete(key: Bytes, options?: { prefix?: boolean | undefined }): Op {
    return new Op({ delete: { key, prefix: known(options, ['prefix']).prefix ?? false } });
  }

  /** A transaction within the transaction. */
  static txn(txn: Txn): Op {
    return new Op({ txn: transaction(txn) });
  }
}

/** If all of `when` hold, `then` is done, otherwise `otherwise`, as one revision. */
export interface Txn {
  when?: readonly Compare[] | undefined;
  then?: readonly Op[] | undefined;
  otherwise?: readonly Op[] | undefined;
}

/** What the native addon wants to know of a transaction. */
export function transaction(txn: Txn): native.Transaction {
  const { when = [], then = [], otherwise = [] } = known(txn, ['when', 'then', 'otherwise']);
  return {
    when: when.map((compare) => compare.comparison),
    then: then.map((op) => op.operation),
    otherwise: otherwise.map((op) => op.operation),
  };
}
