#define _POSIX_C_SOURCE 200809L
#include "lines.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *memory) {
  if (memory == NULL) abort();
  return memory;
}

void *keep(struct command *command, size_t size) {
  void **kept = checked(realloc(command->kept, (command->kept_count + 1) * sizeof *kept));
  command->kept = kept;
  return kept[command->kept_count++] = checked(calloc(1, size + 1));
}

/* Percent-decoding into memory of at least the same size; false if malformed. */
static bool decode(const char *from, size_t size, char *to, size_t *decoded) {
  size_t at = 0;
  for (size_t i = 0; i < size; i++) {
    if (from[i] != '%') {
      to[at++] = from[i];
      continue;
    }
    if (size - i < 3) return false;
    char digits[3] = {from[i + 1], from[i + 2], '\0'};
    char *end = NULL;
    long byte = strtol(digits, &end, 16);
    if (end != digits + 2) return false;
    to[at++] = (char)byte;
    i += 2;
  }
  to[at] = '\0';
  *decoded = at;
  return true;
}

struct command *command_read(char *line) {
  struct command *command = checked(calloc(1, sizeof *command));
  command->line = line;
  char *rest = NULL;
  command->id = strtok_r(line, " \n", &rest);
  command->op = strtok_r(NULL, " \n", &rest);
  if (command->id == NULL || command->op == NULL) {
    command_free(command);
    return NULL;
  }
  for (char *part; (part = strtok_r(NULL, " \n", &rest)) != NULL;) {
    char *value = strchr(part, '=');
    if (value == NULL) {
      fail(command, "performer:malformed", false, part);
      continue;
    }
    *value = '\0';
    size_t room = (command->field_count + 1) * sizeof *command->fields;
    command->fields = checked(realloc(command->fields, room));
    struct field *field = &command->fields[command->field_count++];
    field->key = keep(command, strlen(part));
    field->value = value + 1;
    field->read = false;
    if (!decode(part, strlen(part), field->key, &field->key_size)) {
      fail(command, "performer:malformed", false, part);
    }
  }
  return command;
}

void command_free(struct command *command) {
  for (size_t i = 0; i < command->kept_count; i++) free(command->kept[i]);
  free(command->kept);
  free(command->fields);
  free(command->answer);
  free(command->failure);
  free(command->line);
  quorate_cancel_free(&command->cancel);
  free(command);
}

void command_print(const struct command *command) {
  static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&one_at_a_time);
  if (command->failure != NULL) {
    printf("%s error%s\n", command->id, command->failure);
  } else {
    printf("%s ok%s\n", command->id, command->answer != NULL ? command->answer : "");
  }
  fflush(stdout);
  pthread_mutex_unlock(&one_at_a_time);
}

static struct field *find(struct command *command, const char *format, va_list parts) {
  char key[512];
  vsnprintf(key, sizeof key, format, parts);
  for (size_t i = 0; i < command->field_count; i++) {
    struct field *field = &command->fields[i];
    if (strcmp(field->key, key) == 0) {
      field->read = true;
      return field;
    }
  }
  return NULL;
}

#define FIND(field)                                  \
  va_list parts;                                     \
  va_start(parts, format);                           \
  struct field *field = find(command, format, parts); \
  va_end(parts)

bool has(struct command *command, const char *format, ...) {
  FIND(field);
  return field != NULL;
}

static struct bytes value_of(struct command *command, const char *value, size_t size) {
  char *data = keep(command, size);
  struct bytes bytes = {data, 0};
  if (!decode(value, size, data, &bytes.size)) {
    fail(command, "performer:malformed", false, value);
  }
  return bytes;
}

static const char *text_of(struct command *command, struct bytes bytes) {
  if (bytes.data != NULL && strlen(bytes.data) != bytes.size) {
    fail(command, "host:nul", false, "a C string cannot hold a NUL");
  }
  return bytes.data;
}

struct bytes get_bytes(struct command *command, const char *format, ...) {
  FIND(field);
  if (field == NULL) return (struct bytes){NULL, 0};
  return value_of(command, field->value, strlen(field->value));
}

const char *get_text(struct command *command, const char *format, ...) {
  FIND(field);
  if (field == NULL) return NULL;
  return text_of(command, value_of(command, field->value, strlen(field->value)));
}

int64_t get_number(struct command *command, int64_t absent, int64_t least, int64_t most,
                   const char *format, ...) {
  FIND(field);
  if (field == NULL) return absent;
  char *end = NULL;
  errno = 0;
  long long number = strtoll(field->value, &end, 10);
  if (end == field->value || *end != '\0') {
    fail(command, "performer:malformed", false, field->value);
  } else if (errno == ERANGE || number < least || number > most) {
    fail(command, "host:range", false, field->value);
  }
  return number;
}

double get_real(struct command *command, const char *format, ...) {
  FIND(field);
  if (field == NULL) return 0;
  char *end = NULL;
  double number = strtod(field->value, &end);
  if (end == field->value || *end != '\0') {
    fail(command, "performer:malformed", false, field->value);
  }
  return number;
}

bool get_bool(struct command *command, bool absent, const char *format, ...) {
  FIND(field);
  if (field == NULL) return absent;
  if (strcmp(field->value, "true") != 0 && strcmp(field->value, "false") != 0) {
    fail(command, "performer:malformed", false, field->value);
  }
  return strcmp(field->value, "true") == 0;
}

const char **get_list(struct command *command, size_t *count, const char *format, ...) {
  FIND(field);
  *count = 0;
  if (field == NULL) return NULL;
  const char **list = keep(command, (strlen(field->value) / 2 + 2) * sizeof *list);
  for (const char *at = field->value; *at != '\0';) {
    size_t size = strcspn(at, ",");
    list[(*count)++] = text_of(command, value_of(command, at, size));
    at += size + (at[size] == ',');
  }
  return list;
}

int32_t get_name(struct command *command, int32_t absent, const char *const *names, int32_t first,
                 const char *format, ...) {
  FIND(field);
  if (field == NULL) return absent;
  struct bytes name = value_of(command, field->value, strlen(field->value));
  for (int32_t i = 0; names[i] != NULL; i++) {
    if (strcmp(names[i], name.data) == 0) return first + i;
  }
  /* None of the enum: the library says so. */
  return INT32_MAX;
}

struct bytes need_bytes(struct command *command, const char *key) {
  struct bytes bytes = get_bytes(command, "%s", key);
  if (bytes.data == NULL) fail(command, "performer:missing_key", false, key);
  return bytes;
}

const char *need_text(struct command *command, const char *key) {
  return text_of(command, need_bytes(command, key));
}

bool ready(struct command *command) {
  for (size_t i = 0; i < command->field_count; i++) {
    if (!command->fields[i].read) {
      fail(command, "performer:unknown_key", false, command->fields[i].key);
    }
  }
  return command->failure == NULL;
}

/* Adds to a text that grows. */
static void add(char **text, size_t *size, size_t *room, const char *data, size_t count) {
  if (*size + count + 1 > *room) {
    *room = (*size + count + 1) * 2;
    *text = checked(realloc(*text, *room));
  }
  memcpy(*text + *size, data, count);
  *size += count;
  (*text)[*size] = '\0';
}

static void encode(char **text, size_t *size, size_t *room, const char *data, size_t count,
                   bool comma) {
  for (size_t i = 0; i < count; i++) {
    unsigned char byte = (unsigned char)data[i];
    bool plain = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
                 (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("._:/@+-", byte)) ||
                 (comma && byte == ',');
    char escaped[4];
    if (plain) {
      add(text, size, room, &data[i], 1);
    } else {
      snprintf(escaped, sizeof escaped, "%%%02X", byte);
      add(text, size, room, escaped, 3);
    }
  }
}

void fail(struct command *command, const char *code, bool retryable, const char *message) {
  if (command->failure != NULL) return;
  size_t size = 0, room = 0;
  add(&command->failure, &size, &room, " code=", 6);
  add(&command->failure, &size, &room, code, strlen(code));
  const char *rest = retryable ? " retryable=true message=" : " retryable=false message=";
  add(&command->failure, &size, &room, rest, strlen(rest));
  encode(&command->failure, &size, &room, message, strlen(message), true);
}

bool succeeded(struct command *command, quorate_code_t code, quorate_error_t **error) {
  if (code == QUORATE_OK) return true;
  fail(command, quorate_code_name(code), (*error)->retryable, (*error)->message);
  quorate_error_free(error);
  return false;
}

static void put_raw(struct command *command, const char *data, size_t size) {
  add(&command->answer, &command->answer_size, &command->answer_room, data, size);
}

void put_list(struct command *command, const char *key) {
  put_raw(command, " ", 1);
  encode(&command->answer, &command->answer_size, &command->answer_room, key, strlen(key), true);
  put_raw(command, "=", 1);
}

void put_element(struct command *command, size_t place, const char *data, size_t size) {
  if (place > 0) put_raw(command, ",", 1);
  encode(&command->answer, &command->answer_size, &command->answer_room, data, size, false);
}

void put_bytes(struct command *command, const char *key, const char *data, size_t size) {
  put_list(command, key);
  encode(&command->answer, &command->answer_size, &command->answer_room, data, size, true);
}

void put_text(struct command *command, const char *key, const char *text) {
  put_bytes(command, key, text, strlen(text));
}

void put_number(struct command *command, const char *key, int64_t number) {
  char text[32];
  snprintf(text, sizeof text, "%lld", (long long)number);
  put_text(command, key, text);
}

void put_bool(struct command *command, const char *key, bool value) {
  put_text(command, key, value ? "true" : "false");
}

const char *key_of(const char *format, ...) {
  static _Thread_local char keys[4][640];
  static _Thread_local unsigned turn;
  char *key = keys[turn++ % 4];
  va_list parts;
  va_start(parts, format);
  vsnprintf(key, sizeof keys[0], format, parts);
  va_end(parts);
  return key;
}
