#define _POSIX_C_SOURCE 200809L
#include "operations.h"
#include "things.h"

#include <string.h>

/* Each watch has a queue of its own, so that its events can be asked for one by one. */
static bool open_queue(struct command *command, struct thing *made) {
  quorate_error_t *error = NULL;
  return succeeded(command, quorate_queue_open(&made->queue, &error), &error);
}

/* Names it, or frees it after a failure. */
static void settle(struct command *command, const char *as, struct thing made) {
  name_it(command->failure == NULL ? as : NULL, made);
}

static void watch(struct command *command) {
  const char *as = need_text(command, "as");
  struct bytes key = need_bytes(command, "key");
  quorate_watch_options_t options;
  quorate_watch_options_init(&options, sizeof options);
  options.prefix = get_bool(command, false, "prefix");
  options.previous = get_bool(command, false, "previous");
  options.start_revision =
      get_number(command, options.start_revision, INT64_MIN, INT64_MAX, "start_revision");
  struct thing *of = client_of(command);
  if (of != NULL && ready(command)) {
    struct thing made = {.kind = WATCH};
    quorate_error_t *error = NULL;
    if (open_queue(command, &made)) {
      succeeded(command,
                quorate_watch(of->client, key.data, key.size, &options, made.queue, NULL,
                              &made.watch, &error),
                &error);
    }
    settle(command, as, made);
  }
  let_go(of);
}

static void watch_service(struct command *command) {
  const char *as = need_text(command, "as");
  const char *service = need_text(command, "service");
  struct thing *of = client_of(command);
  if (of != NULL && ready(command)) {
    struct thing made = {.kind = WATCH};
    quorate_error_t *error = NULL;
    if (open_queue(command, &made)) {
      succeeded(command,
                quorate_watch_service(of->client, service, made.queue, NULL, &made.watch, &error),
                &error);
    }
    settle(command, as, made);
  }
  let_go(of);
}

static void observe(struct command *command) {
  const char *as = need_text(command, "as");
  const char *name = need_text(command, "name");
  struct thing *of = client_of(command);
  if (of != NULL && ready(command)) {
    struct thing made = {.kind = WATCH};
    quorate_error_t *error = NULL;
    if (open_queue(command, &made)) {
      succeeded(command, quorate_observe(of->client, name, made.queue, NULL, &made.watch, &error),
                &error);
    }
    settle(command, as, made);
  }
  let_go(of);
}

static void put_ids(struct command *command, const char *key,
                    const quorate_instance_t *const *instances, size_t count) {
  put_list(command, key);
  for (size_t i = 0; i < count; i++) {
    put_element(command, i, instances[i]->id, strlen(instances[i]->id));
  }
}

static void put_service(struct command *command, const quorate_service_event_t *event) {
  const char *const kinds[] = {"snapshot", "changed", "resync", "state"};
  put_text(command, "kind", kinds[event->change - QUORATE_SERVICE_SNAPSHOT]);
  if (event->change == QUORATE_SERVICE_STATE) {
    put_text(command, "state", state_name(event->view->state));
    put_bool(command, "complete", event->view->complete);
    put_number(command, "revision", (int64_t)event->view->revision);
    return;
  }
  put_view(command, event->view);
  if (event->change != QUORATE_SERVICE_CHANGED) return;
  put_ids(command, "added", event->added, event->added_count);
  put_ids(command, "updated", event->updated, event->updated_count);
  put_list(command, "removed");
  for (size_t i = 0; i < event->removed_count; i++) {
    const char *id = event->removed[i]->instance->id;
    put_element(command, i, id, strlen(id));
  }
  put_list(command, "reasons");
  for (size_t i = 0; i < event->removed_count; i++) {
    const char *reason = reason_name(event->removed[i]->reason);
    put_element(command, i, reason, strlen(reason));
  }
}

static void put_keys(struct command *command, const quorate_key_events_t *keys) {
  put_number(command, "revision", keys->revision);
  put_number(command, "events", (int64_t)keys->event_count);
  for (size_t i = 0; i < keys->event_count; i++) {
    const quorate_key_event_t *event = keys->events[i];
    bool put = event->change == QUORATE_KEY_PUT;
    put_text(command, key_of("event.%zu.kind", i), put ? "put" : "delete");
    put_bytes(command, key_of("event.%zu.key", i), event->kv->key, event->kv->key_size);
    put_number(command, key_of("event.%zu.mod_revision", i), event->kv->mod_revision);
    if (put) {
      put_bytes(command, key_of("event.%zu.value", i), event->kv->value, event->kv->value_size);
      put_number(command, key_of("event.%zu.version", i), event->kv->version);
      put_number(command, key_of("event.%zu.create_revision", i), event->kv->create_revision);
      put_number(command, key_of("event.%zu.lease", i), event->kv->lease);
    }
    if (event->previous != NULL) {
      put_bytes(command, key_of("event.%zu.previous", i), event->previous->value,
                event->previous->value_size);
    }
  }
}

static void next(struct command *command) {
  int64_t limit = get_number(command, QUORATE_NO_LIMIT, 0, INT64_MAX, "timeout_ms");
  struct thing *of = named(command, "watch");
  if (of == NULL || !ready(command)) {
    let_go(of);
    return;
  }
  quorate_event_t *event = NULL;
  quorate_error_t *error = NULL;
  quorate_code_t code = of->ended ? QUORATE_CLOSED
                                  : quorate_queue_next(of->queue, limit, command->cancel, &event,
                                                       &error);
  if (code == QUORATE_CLOSED) {
    quorate_error_free(&error);
    put_bool(command, "end", true);
  } else if (succeeded(command, code, &error)) {
    switch (event->kind) {
      case QUORATE_EVENT_SERVICE:
        put_service(command, event->service);
        break;
      case QUORATE_EVENT_KEYS:
        put_keys(command, event->keys);
        break;
      case QUORATE_EVENT_LEADER:
        put_bytes(command, "value", event->leader->value, event->leader->value_size);
        put_bytes(command, "key", event->leader->key, event->leader->key_size);
        put_number(command, "token", event->leader->token);
        break;
      case QUORATE_EVENT_END:
        of->ended = true;
        if (event->error == NULL) {
          put_bool(command, "end", true);
        } else {
          fail(command, event->error->name, event->error->retryable, event->error->message);
        }
        break;
      default:
        fail(command, "performer:malformed", false, "an event of an unknown kind");
    }
  }
  quorate_event_free(&event);
  let_go(of);
}

static void close_watch(struct command *command) {
  struct thing *of = named(command, "watch");
  if (of != NULL && ready(command)) {
    quorate_error_t *error = NULL;
    succeeded(command, quorate_queue_close(of->queue, &error), &error);
  }
  let_go(of);
}

static void drop(struct command *command) {
  const char *name = need_text(command, "handle");
  if (ready(command) && !forget(name)) fail(command, "performer:unknown_name", false, name);
}

const struct entry watch_operations[] = {
    {"watch", watch}, {"watch_service", watch_service}, {"observe", observe},
    {"next", next},   {"close_watch", close_watch},     {"drop", drop},
    {NULL, NULL},
};
