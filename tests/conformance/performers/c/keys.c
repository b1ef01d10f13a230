#define _POSIX_C_SOURCE 200809L
#include "operations.h"
#include "things.h"

#include <stdlib.h>
#include <string.h>

static const char *const SORTS[] = {"key",          "version", "create_revision",
                                    "mod_revision", "value",   NULL};
static const char *const COMPARISONS[] = {"==", "!=", ">", "<", NULL};
static const char *const TARGETS[] = {"version", "create_revision", "mod_revision", "lease", NULL};

void put_key_value(struct command *command, const char *prefix, const quorate_key_value_t *kv) {
  put_bytes(command, key_of("%skey", prefix), kv->key, kv->key_size);
  put_bytes(command, key_of("%svalue", prefix), kv->value, kv->value_size);
  put_number(command, key_of("%sversion", prefix), kv->version);
  put_number(command, key_of("%screate_revision", prefix), kv->create_revision);
  put_number(command, key_of("%smod_revision", prefix), kv->mod_revision);
  put_number(command, key_of("%slease", prefix), kv->lease);
}

/* A lease's id: that of a holding, or a number. */
static int64_t get_lease(struct command *command, const char *prefix) {
  if (!has(command, "%slease", prefix)) return 0;
  const char *name = get_text(command, "%slease", prefix);
  struct thing *holding = name != NULL ? borrow_thing(name) : NULL;
  if (holding == NULL) {
    return get_number(command, 0, INT64_MIN, INT64_MAX, "%slease", prefix);
  }
  int64_t id = quorate_lease_id(holding->lease);
  let_go(holding);
  return id;
}

static quorate_put_options_t put_options(struct command *command, const char *prefix) {
  quorate_put_options_t options;
  quorate_put_options_init(&options, sizeof options);
  options.lease = get_lease(command, prefix);
  options.previous = get_bool(command, false, "%sprevious", prefix);
  return options;
}

static quorate_range_options_t range_options(struct command *command, const char *prefix) {
  quorate_range_options_t options;
  quorate_range_options_init(&options, sizeof options);
  struct bytes keys = get_bytes(command, "%sprefix", prefix);
  struct bytes start = get_bytes(command, "%sstart", prefix);
  struct bytes end = get_bytes(command, "%send", prefix);
  options.prefix = keys.data;
  options.prefix_size = keys.size;
  options.start = start.data;
  options.start_size = start.size;
  options.end = end.data;
  options.end_size = end.size;
  options.limit = (uint32_t)get_number(command, options.limit, 0, UINT32_MAX, "%slimit", prefix);
  options.revision =
      get_number(command, options.revision, INT64_MIN, INT64_MAX, "%srevision", prefix);
  options.max_create_revision = get_number(command, options.max_create_revision, INT64_MIN,
                                           INT64_MAX, "%smax_create_revision", prefix);
  options.sort = get_name(command, options.sort, SORTS, QUORATE_SORT_KEY, "%ssort", prefix);
  options.descending = get_bool(command, false, "%sdescending", prefix);
  options.keys_only = get_bool(command, false, "%skeys_only", prefix);
  options.count_only = get_bool(command, false, "%scount_only", prefix);
  options.serializable = get_bool(command, false, "%sserializable", prefix);
  return options;
}

static void put(struct command *command) {
  struct bytes key = need_bytes(command, "key");
  struct bytes value = need_bytes(command, "value");
  quorate_put_options_t options = put_options(command, "");
  struct thing *of = client_of(command);
  quorate_put_result_t *result = NULL;
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_put(of->client, key.data, key.size, value.data, value.size, &options,
                            QUORATE_NO_LIMIT, command->cancel, &result, &error),
                &error)) {
    put_number(command, "revision", result->revision);
    if (result->previous != NULL) {
      put_bytes(command, "previous", result->previous->value, result->previous->value_size);
    }
  }
  quorate_put_result_free(&result);
  let_go(of);
}

static void get(struct command *command) {
  struct bytes key = need_bytes(command, "key");
  int64_t revision = get_number(command, 0, INT64_MIN, INT64_MAX, "revision");
  bool serializable = get_bool(command, false, "serializable");
  struct thing *of = client_of(command);
  quorate_key_value_t *found = NULL;
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_get(of->client, key.data, key.size, revision, serializable,
                            QUORATE_NO_LIMIT, command->cancel, &found, &error),
                &error)) {
    if (found != NULL) {
      put_key_value(command, "", found);
    } else {
      put_bool(command, "none", true);
    }
  }
  quorate_key_value_free(&found);
  let_go(of);
}

static void put_range(struct command *command, const char *prefix,
                      const quorate_range_result_t *result) {
  put_number(command, key_of("%scount", prefix), (int64_t)result->count);
  put_bool(command, key_of("%smore", prefix), result->more);
  put_number(command, key_of("%skvs", prefix), (int64_t)result->kv_count);
  for (size_t i = 0; i < result->kv_count; i++) {
    char *each = keep(command, strlen(prefix) + 32);
    strcpy(each, key_of("%skv.%zu.", prefix, i));
    put_key_value(command, each, result->kvs[i]);
  }
}

static void range(struct command *command) {
  quorate_range_options_t options = range_options(command, "");
  struct thing *of = client_of(command);
  quorate_range_result_t *result = NULL;
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_range(of->client, &options, QUORATE_NO_LIMIT, command->cancel, &result,
                              &error),
                &error)) {
    put_range(command, "", result);
    put_number(command, "revision", result->revision);
  }
  quorate_range_result_free(&result);
  let_go(of);
}

static void delete_keys(struct command *command) {
  struct bytes key = need_bytes(command, "key");
  bool prefix = get_bool(command, false, "prefix");
  struct thing *of = client_of(command);
  uint64_t deleted = 0;
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_delete(of->client, key.data, key.size, prefix, QUORATE_NO_LIMIT,
                               command->cancel, &deleted, &error),
                &error)) {
    put_number(command, "deleted", (int64_t)deleted);
  }
  let_go(of);
}

static void compact(struct command *command) {
  int64_t revision = get_number(command, 0, INT64_MIN, INT64_MAX, "revision");
  struct thing *of = client_of(command);
  if (of != NULL && ready(command)) {
    quorate_error_t *error = NULL;
    succeeded(command,
              quorate_compact(of->client, revision, QUORATE_NO_LIMIT, command->cancel, &error),
              &error);
  }
  let_go(of);
}

static bool add_condition(struct command *command, quorate_txn_t *txn, const char *at) {
  const char *kind = get_text(command, "%skind", at);
  struct bytes key = get_bytes(command, "%skey", at);
  int32_t symbol = get_name(command, QUORATE_EQUAL, COMPARISONS, QUORATE_EQUAL, "%ssymbol", at);
  bool prefix = get_bool(command, false, "%sprefix", at);
  quorate_error_t *error = NULL;
  if (kind == NULL) {
    fail(command, "performer:missing_key", false, at);
    return false;
  }
  if (strcmp(kind, "exists") == 0 || strcmp(kind, "missing") == 0) {
    if (prefix) {
      /* What the two stand for, which is how a prefix is told apart. */
      return succeeded(command,
                       quorate_txn_when_number(
                           txn, key.data, key.size, true, QUORATE_TARGET_CREATE_REVISION,
                           kind[0] == 'e' ? QUORATE_GREATER : QUORATE_EQUAL, 0, &error),
                       &error);
    }
    return succeeded(
        command, quorate_txn_when_exists(txn, key.data, key.size, kind[0] == 'm', &error), &error);
  }
  if (strcmp(kind, "value") == 0) {
    struct bytes value = get_bytes(command, "%svalue", at);
    return succeeded(command,
                     quorate_txn_when_value(txn, key.data, key.size, prefix, symbol, value.data,
                                            value.size, &error),
                     &error);
  }
  int32_t target = get_name(command, 0, TARGETS, QUORATE_TARGET_VERSION, "%skind", at);
  int64_t number = get_number(command, 0, INT64_MIN, INT64_MAX, "%svalue", at);
  return succeeded(
      command,
      quorate_txn_when_number(txn, key.data, key.size, prefix, target, symbol, number, &error),
      &error);
}

static quorate_txn_t *read_txn(struct command *command, const char *prefix);

static bool add_operation(struct command *command, quorate_txn_t *txn, int32_t branch,
                          const char *at) {
  const char *op = get_text(command, "%sop", at);
  quorate_error_t *error = NULL;
  if (strcmp(op, "range") == 0) {
    quorate_range_options_t options = range_options(command, at);
    return succeeded(command, quorate_txn_range(txn, branch, &options, &error), &error);
  }
  if (strcmp(op, "txn") == 0) {
    quorate_txn_t *nested = read_txn(command, at);
    bool added = nested != NULL &&
                 succeeded(command, quorate_txn_nested(txn, branch, nested, &error), &error);
    quorate_txn_free(&nested);
    return added;
  }
  struct bytes key = get_bytes(command, "%skey", at);
  if (strcmp(op, "put") == 0) {
    struct bytes value = get_bytes(command, "%svalue", at);
    quorate_put_options_t options = put_options(command, at);
    return succeeded(command,
                     quorate_txn_put(txn, branch, key.data, key.size, value.data, value.size,
                                     &options, &error),
                     &error);
  }
  if (strcmp(op, "get") == 0) {
    return succeeded(command, quorate_txn_get(txn, branch, key.data, key.size, &error), &error);
  }
  if (strcmp(op, "delete") == 0) {
    bool prefix = get_bool(command, false, "%sprefix", at);
    return succeeded(command,
                     quorate_txn_delete(txn, branch, key.data, key.size, prefix, &error), &error);
  }
  fail(command, "performer:unknown_op", false, op);
  return false;
}

/* NULL after a failure. */
static quorate_txn_t *read_txn(struct command *command, const char *prefix) {
  quorate_txn_t *txn = NULL;
  quorate_error_t *error = NULL;
  if (!succeeded(command, quorate_txn_open(&txn, &error), &error)) return NULL;
  char *at = keep(command, strlen(prefix) + 40);
  bool good = true;
  for (size_t i = 0; good && has(command, "%swhen.%zu.kind", prefix, i); i++) {
    strcpy(at, key_of("%swhen.%zu.", prefix, i));
    good = add_condition(command, txn, at);
  }
  const char *branches[] = {"then", "otherwise"};
  for (int32_t branch = QUORATE_THEN; branch <= QUORATE_OTHERWISE; branch++) {
    for (size_t i = 0; good && has(command, "%s%s.%zu.op", prefix, branches[branch], i); i++) {
      strcpy(at, key_of("%s%s.%zu.", prefix, branches[branch], i));
      good = add_operation(command, txn, branch, at);
    }
  }
  if (!good) quorate_txn_free(&txn);
  return txn;
}

static void put_results(struct command *command, const char *prefix,
                        const quorate_txn_result_t *done) {
  put_bool(command, key_of("%ssucceeded", prefix), done->succeeded);
  put_number(command, key_of("%sresults", prefix), (int64_t)done->result_count);
  for (size_t i = 0; i < done->result_count; i++) {
    const quorate_op_result_t *one = done->results[i];
    char *at = keep(command, strlen(prefix) + 40);
    strcpy(at, key_of("%sresult.%zu.", prefix, i));
    const char *const kinds[] = {"put", "range", "delete", "txn"};
    put_text(command, key_of("%skind", at), kinds[one->op - QUORATE_OP_PUT]);
    switch (one->op) {
      case QUORATE_OP_PUT:
        put_number(command, key_of("%srevision", at), one->put->revision);
        if (one->put->previous != NULL) {
          put_bytes(command, key_of("%sprevious", at), one->put->previous->value,
                    one->put->previous->value_size);
        }
        break;
      case QUORATE_OP_RANGE:
        put_range(command, at, one->range);
        break;
      case QUORATE_OP_DELETE:
        put_number(command, key_of("%sdeleted", at), (int64_t)one->deleted);
        break;
      case QUORATE_OP_TXN:
        put_results(command, at, one->txn);
        break;
    }
  }
}

static void txn(struct command *command) {
  struct thing *of = client_of(command);
  quorate_txn_t *wanted = of != NULL ? read_txn(command, "") : NULL;
  quorate_txn_result_t *done = NULL;
  quorate_error_t *error = NULL;
  if (wanted != NULL && ready(command) &&
      succeeded(command,
                quorate_txn_commit(of->client, wanted, QUORATE_NO_LIMIT, command->cancel, &done,
                                   &error),
                &error)) {
    put_number(command, "revision", done->revision);
    put_results(command, "", done);
  }
  quorate_txn_result_free(&done);
  quorate_txn_free(&wanted);
  let_go(of);
}

const struct entry key_operations[] = {
    {"put", put},         {"get", get}, {"range", range}, {"delete", delete_keys},
    {"compact", compact}, {"txn", txn}, {NULL, NULL},
};
