#define _POSIX_C_SOURCE 200809L
#include "operations.h"
#include "things.h"

#include <stdlib.h>
#include <string.h>

static void put_key(struct command *command, const char *key, size_t size) {
  put_bytes(command, "key", key, size);
}

static void put_lock(struct command *command, const char *as, struct thing made) {
  size_t size = 0;
  const char *key = quorate_lock_key(made.lock, &size);
  put_number(command, "token", quorate_lock_token(made.lock));
  put_key(command, key, size);
  name_it(as, made);
}

static void lock(struct command *command) {
  const char *as = need_text(command, "as");
  const char *name = need_text(command, "name");
  quorate_hold_options_t options;
  quorate_hold_options_init(&options, sizeof options);
  options.ttl_ms = get_number(command, options.ttl_ms, INT64_MIN, INT64_MAX, "ttl_ms");
  int64_t limit = get_number(command, QUORATE_NO_LIMIT, 0, INT64_MAX, "timeout_ms");
  struct thing *of = client_of(command);
  struct thing made = {.kind = LOCK};
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_lock(of->client, name, &options, limit, command->cancel, &made.lock,
                             &error),
                &error)) {
    put_lock(command, as, made);
  }
  let_go(of);
}

static void try_lock(struct command *command) {
  const char *as = need_text(command, "as");
  const char *name = need_text(command, "name");
  quorate_hold_options_t options;
  quorate_hold_options_init(&options, sizeof options);
  options.ttl_ms = get_number(command, options.ttl_ms, INT64_MIN, INT64_MAX, "ttl_ms");
  struct thing *of = client_of(command);
  struct thing made = {.kind = LOCK};
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_try_lock(of->client, name, &options, QUORATE_NO_LIMIT, command->cancel,
                                 &made.lock, &error),
                &error)) {
    put_lock(command, as, made);
  }
  let_go(of);
}

static void unlock(struct command *command) {
  struct thing *of = named(command, "holding");
  if (of != NULL && ready(command)) {
    quorate_error_t *error = NULL;
    succeeded(command, quorate_lock_unlock(of->lock, QUORATE_NO_LIMIT, command->cancel, &error),
              &error);
  }
  let_go(of);
}

static void campaign(struct command *command) {
  const char *as = need_text(command, "as");
  const char *name = need_text(command, "name");
  struct bytes value = need_bytes(command, "value");
  quorate_hold_options_t options;
  quorate_hold_options_init(&options, sizeof options);
  options.ttl_ms = get_number(command, options.ttl_ms, INT64_MIN, INT64_MAX, "ttl_ms");
  int64_t limit = get_number(command, QUORATE_NO_LIMIT, 0, INT64_MAX, "timeout_ms");
  struct thing *of = client_of(command);
  struct thing made = {.kind = LEADERSHIP};
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_campaign(of->client, name, value.data, value.size, &options, limit,
                                 command->cancel, &made.leadership, &error),
                &error)) {
    size_t size = 0;
    const char *key = quorate_leadership_key(made.leadership, &size);
    put_number(command, "token", quorate_leadership_token(made.leadership));
    put_key(command, key, size);
    name_it(as, made);
  }
  let_go(of);
}

static void proclaim(struct command *command) {
  struct bytes value = need_bytes(command, "value");
  struct thing *of = named(command, "holding");
  if (of != NULL && ready(command)) {
    quorate_error_t *error = NULL;
    succeeded(command,
              quorate_leadership_proclaim(of->leadership, value.data, value.size,
                                          QUORATE_NO_LIMIT, command->cancel, &error),
              &error);
  }
  let_go(of);
}

static void resign(struct command *command) {
  struct thing *of = named(command, "holding");
  if (of != NULL && ready(command)) {
    quorate_error_t *error = NULL;
    succeeded(command,
              quorate_leadership_resign(of->leadership, QUORATE_NO_LIMIT, command->cancel, &error),
              &error);
  }
  let_go(of);
}

static void leader(struct command *command) {
  const char *name = need_text(command, "name");
  struct thing *of = client_of(command);
  quorate_leader_t *found = NULL;
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_leader(of->client, name, QUORATE_NO_LIMIT, command->cancel, &found, &error),
                &error)) {
    if (found != NULL) {
      put_bytes(command, "value", found->value, found->value_size);
      put_key(command, found->key, found->key_size);
      put_number(command, "token", found->token);
    } else {
      put_bool(command, "none", true);
    }
  }
  quorate_leader_free(&found);
  let_go(of);
}

static void lease(struct command *command) {
  const char *as = need_text(command, "as");
  int64_t ttl = get_number(command, 0, INT64_MIN, INT64_MAX, "ttl_ms");
  struct thing *of = client_of(command);
  struct thing made = {.kind = LEASE};
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_lease(of->client, ttl, QUORATE_NO_LIMIT, command->cancel, &made.lease,
                              &error),
                &error)) {
    put_number(command, "id", quorate_lease_id(made.lease));
    put_number(command, "ttl_ms", quorate_lease_ttl_ms(made.lease));
    name_it(as, made);
  }
  let_go(of);
}

static int by_bytes(const void *a, const void *b) {
  const quorate_bytes_t *x = a, *y = b;
  int order = memcmp(x->data, y->data, x->size < y->size ? x->size : y->size);
  return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

static void lease_time_to_live(struct command *command) {
  int64_t id = get_number(command, 0, INT64_MIN, INT64_MAX, "id");
  struct thing *of = client_of(command);
  quorate_lease_info_t *info = NULL;
  quorate_error_t *error = NULL;
  if (of != NULL && ready(command) &&
      succeeded(command,
                quorate_lease_time_to_live(of->client, id, QUORATE_NO_LIMIT, command->cancel, &info,
                                           &error),
                &error)) {
    if (info != NULL) {
      put_number(command, "ttl_ms", info->remaining_ms);
      put_number(command, "granted_ms", info->granted_ms);
      quorate_bytes_t *keys = keep(command, (info->key_count + 1) * sizeof *keys);
      memcpy(keys, info->keys, info->key_count * sizeof *keys);
      qsort(keys, info->key_count, sizeof *keys, by_bytes);
      put_list(command, "keys");
      for (size_t i = 0; i < info->key_count; i++) {
        put_element(command, i, keys[i].data, keys[i].size);
      }
    } else {
      put_bool(command, "none", true);
    }
  }
  quorate_lease_info_free(&info);
  let_go(of);
}

static void revoke(struct command *command) {
  struct thing *of = named(command, "holding");
  if (of != NULL && ready(command)) {
    quorate_error_t *error = NULL;
    succeeded(command, quorate_lease_revoke(of->lease, QUORATE_NO_LIMIT, command->cancel, &error),
              &error);
  }
  let_go(of);
}

static void held(struct command *command) {
  struct thing *of = named(command, "holding");
  if (of != NULL && ready(command)) {
    switch (of->kind) {
      case LOCK:
        put_bool(command, "lost", quorate_lock_is_lost(of->lock));
        put_number(command, "token", quorate_lock_token(of->lock));
        break;
      case LEADERSHIP:
        put_bool(command, "lost", quorate_leadership_is_lost(of->leadership));
        put_number(command, "token", quorate_leadership_token(of->leadership));
        break;
      default:
        put_bool(command, "lost", quorate_lease_is_lost(of->lease));
    }
  }
  let_go(of);
}

static void wait_lost(struct command *command) {
  int64_t limit = get_number(command, QUORATE_NO_LIMIT, 0, INT64_MAX, "timeout_ms");
  struct thing *of = named(command, "holding");
  if (of != NULL && ready(command)) {
    bool lost = false;
    quorate_error_t *error = NULL;
    quorate_code_t code = QUORATE_OK;
    switch (of->kind) {
      case LOCK:
        code = quorate_lock_wait_lost(of->lock, limit, command->cancel, &lost, &error);
        break;
      case LEADERSHIP:
        code = quorate_leadership_wait_lost(of->leadership, limit, command->cancel, &lost, &error);
        break;
      default:
        code = quorate_lease_wait_lost(of->lease, limit, command->cancel, &lost, &error);
    }
    if (succeeded(command, code, &error)) put_bool(command, "value", lost);
  }
  let_go(of);
}

const struct entry holding_operations[] = {
    {"lock", lock},         {"try_lock", try_lock},
    {"unlock", unlock},     {"campaign", campaign},
    {"proclaim", proclaim}, {"resign", resign},
    {"leader", leader},     {"lease", lease},
    {"revoke", revoke},     {"lease_time_to_live", lease_time_to_live},
    {"held", held},         {"wait_lost", wait_lost},
    {NULL, NULL},
};
