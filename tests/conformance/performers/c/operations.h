/* The commands, by what they are about. */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "lines.h"

typedef void (*operation)(struct command *command);

struct entry {
  const char *op;
  operation run;
};

/* Each ends with an entry of NULLs. */
extern const struct entry discovery_operations[];
extern const struct entry holding_operations[];
extern const struct entry key_operations[];
extern const struct entry watch_operations[];

/* The fields of a view and of a key-value, each key behind `prefix`. */
void put_view(struct command *command, const quorate_view_t *view);
void put_key_value(struct command *command, const char *prefix, const quorate_key_value_t *kv);
const char *state_name(int32_t state);
const char *reason_name(int32_t reason);

#endif
