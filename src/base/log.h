/* Lines for people, on standard error, one format: "lode: text". The only printer below app. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"

enum log_level { LOG_QUIET, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level); /* default LOG_WARN */
bool log_wants(enum log_level level);
void log_warn(const char *format, ...) BASE_PRINTF(1, 2);
void log_info(const char *format, ...) BASE_PRINTF(1, 2);
void log_debug(const char *format, ...) BASE_PRINTF(1, 2);

#endif
