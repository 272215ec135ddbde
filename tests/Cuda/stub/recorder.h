// What both stubs share: a log file with one line a call, and one call that is told to fail.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char log_path[4096];
static char failing[64];
static int failure;

// Opens, writes and closes each time, so that both libraries can write to one file in the order of the calls.
void stub_log_to(const char *path) { snprintf(log_path, sizeof log_path, "%s", path); }

void stub_fail(const char *call, int result) {
    snprintf(failing, sizeof failing, "%s", call);
    failure = result;
}

// Logs "call arguments" and gives what the call returns: 0, or the failure that was asked for.
static int record(const char *call, const char *format, ...) {
    FILE *file = log_path[0] ? fopen(log_path, "a") : NULL;
    if (file) {
        va_list arguments;
        va_start(arguments, format);
        fprintf(file, "%s", call);
        vfprintf(file, format, arguments);
        fprintf(file, "\n");
        va_end(arguments);
        fclose(file);
    }
    return strcmp(call, failing) == 0 ? failure : 0;
}
