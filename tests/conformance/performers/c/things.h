/* What commands have made, by name. */
#ifndef THINGS_H
#define THINGS_H

#include "lines.h"

enum kind { CLIENT, REGISTRATION, WATCH, PICK, LOCK, LEADERSHIP, LEASE };

struct thing {
  char *name;
  enum kind kind;
  unsigned users; /* freed when the last one lets go */
  quorate_client_t *client;
  quorate_registration_t *registration;
  quorate_watch_t *watch;
  quorate_queue_t *queue; /* of the watch, for it alone */
  bool ended;             /* the watch has said so */
  quorate_pick_t *pick;
  quorate_lock_t *lock;
  quorate_leadership_t *leadership;
  quorate_lease_t *lease;
  struct thing *next;
};

/* Names what a command made, under its key `as`; frees it at once if there is none. */
void name_it(const char *name, struct thing made);
/* What a key names, to be given back with let_go(); NULL and a failure if there is none. */
struct thing *named(struct command *command, const char *key);
/* The same by the name itself; NULL without a failure. */
struct thing *borrow_thing(const char *name);
void let_go(struct thing *thing);
/* Forgets a name, and frees what it named as soon as nobody uses it. */
bool forget(const char *name);

/* The client of a command, with which the command must end. */
struct thing *client_of(struct command *command);

#endif
