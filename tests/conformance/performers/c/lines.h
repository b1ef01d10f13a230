/* A command as it was read, and its answer as it is written. */
#ifndef LINES_H
#define LINES_H

#include <quorate.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct field {
  char *key;         /* decoded */
  size_t key_size;
  const char *value; /* still encoded, because of lists */
  bool read;
};

struct command {
  char *line; /* what the others point into */
  const char *id;
  const char *op;
  struct field *fields;
  size_t field_count;
  quorate_cancel_t *cancel;
  char *answer;
  size_t answer_size, answer_room;
  char *failure; /* the answer in its place, once something went wrong */
  void **kept;   /* freed with the command */
  size_t kept_count;
  struct command *next;
};

struct bytes {
  const char *data; /* with a NUL behind; NULL if absent */
  size_t size;
};

/* Reads a line, which it takes; NULL if it is no command. */
struct command *command_read(char *line);
void command_free(struct command *command);
/* Writes the whole line of the answer. */
void command_print(const struct command *command);

/* Memory that lives as long as the command. */
void *keep(struct command *command, size_t size);

/* The value of a key; absent ones are their default. What cannot be is a failure of the command. */
bool has(struct command *command, const char *format, ...);
struct bytes get_bytes(struct command *command, const char *format, ...);
const char *get_text(struct command *command, const char *format, ...);
int64_t get_number(struct command *command, int64_t absent, int64_t least, int64_t most,
                   const char *format, ...);
double get_real(struct command *command, const char *format, ...);
bool get_bool(struct command *command, bool absent, const char *format, ...);
/* A list of texts, ended by NULL. */
const char **get_list(struct command *command, size_t *count, const char *format, ...);
/* A number of an enum by its name in `names`, which ends with NULL; the first one has `first`. */
int32_t get_name(struct command *command, int32_t absent, const char *const *names, int32_t first,
                 const char *format, ...);
/* As get_bytes and get_text, but must be there. */
struct bytes need_bytes(struct command *command, const char *key);
const char *need_text(struct command *command, const char *key);

/* Whether the call can be made: nothing was wrong, and nothing is left unread. */
bool ready(struct command *command);
/* Says what went wrong, the first time. */
void fail(struct command *command, const char *code, bool retryable, const char *message);
/* Whether a call succeeded; frees its error. */
bool succeeded(struct command *command, quorate_code_t code, quorate_error_t **error);

void put_bytes(struct command *command, const char *key, const char *data, size_t size);
void put_text(struct command *command, const char *key, const char *text);
void put_number(struct command *command, const char *key, int64_t number);
void put_bool(struct command *command, const char *key, bool value);
/* A list, element by element: begin, elements, nothing more. */
void put_list(struct command *command, const char *key);
void put_element(struct command *command, size_t place, const char *data, size_t size);
/* A key made of parts; lives until the next four are. */
const char *key_of(const char *format, ...);

#endif
