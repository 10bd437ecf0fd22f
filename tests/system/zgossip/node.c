/*  A node of czmq's zgossip that is told what to do on stdin, a line each, and says on stdout what
 *  it is delivered:
 *
 *      bind ENDPOINT        says "port N"
 *      connect ENDPOINT
 *      publish KEY VALUE    the value is the rest of the line; "@N" stands for N times the letter x
 *      status               says "status N"
 *      timeout MS           sets server/timeout
 *
 *  "deliver KEY VALUE" comes for each tuple that is new or changed; values over 100 octets are
 *  shown as "@N". Ends, as if it were killed, when stdin ends.
 */
#include <czmq.h>

static void deliver (zactor_t *node)
{
    char *what = NULL, *key = NULL, *value = NULL;
    zstr_recvx (node, &what, &key, &value, NULL);
    if (what && streq (what, "DELIVER")) {
        if (strlen (value) > 100)
            printf ("deliver %s @%zu\n", key, strlen (value));
        else
            printf ("deliver %s %s\n", key, value);
    }
    else
    if (what && streq (what, "PORT"))
        printf ("port %s\n", key);
    else
    if (what && streq (what, "STATUS"))
        printf ("status %s\n", key);
    fflush (stdout);
    zstr_free (&what);
    zstr_free (&key);
    zstr_free (&value);
}

static void obey (zactor_t *node, char *line)
{
    char *word = strtok (line, " ");
    char *first = strtok (NULL, " ");
    char *rest = strtok (NULL, "");
    if (!word)
        return;
    if (streq (word, "bind")) {
        zstr_sendx (node, "BIND", first, NULL);
        zstr_sendx (node, "PORT", NULL);
    }
    else
    if (streq (word, "connect"))
        zstr_sendx (node, "CONNECT", first, NULL);
    else
    if (streq (word, "publish")) {
        if (rest && rest [0] == '@') {
            size_t size = (size_t) atol (rest + 1);
            char *value = (char *) malloc (size + 1);
            memset (value, 'x', size);
            value [size] = 0;
            zstr_sendx (node, "PUBLISH", first, value, NULL);
            free (value);
        }
        else
            zstr_sendx (node, "PUBLISH", first, rest? rest: "", NULL);
    }
    else
    if (streq (word, "status"))
        zstr_sendx (node, "STATUS", NULL);
    else
    if (streq (word, "timeout"))
        zstr_sendx (node, "SET", "server/timeout", first, NULL);
}

int main (void)
{
    static char line [1024];
    zsys_handler_set (NULL);
    zactor_t *node = zactor_new (zgossip, "node");
    int input = fileno (stdin);
    zpoller_t *poller = zpoller_new (node, &input, NULL);
    size_t length = 0;
    while (1) {
        void *ready = zpoller_wait (poller, -1);
        if (ready == node)
            deliver (node);
        else
        if (ready == &input) {
            /* Read octet by octet, so that nothing hides in a buffer of stdio. */
            char octet;
            if (read (input, &octet, 1) != 1)
                break;
            if (octet != '\n') {
                if (length < sizeof (line) - 1)
                    line [length++] = octet;
                continue;
            }
            line [length] = 0;
            length = 0;
            obey (node, line);
        }
        else
            /*  A pipe whose other end is gone is in an error, not readable. */
            break;
    }
    /*  At once: an actor that still reconnects would keep its sockets for long. */
    _exit (0);
}
