/* command_access.c - who may use a command: authorized_submit_users and its like (compat.md j.9) */
#include "base/log.h"
#include "run/run.h"
#include "service/command.h"
#include "service/sandbox.h"
#include "table/match.h"

struct question {
    struct config *config;
    const char *parameter;
    const char *user;
    enum match_result answer;
};

static void look_up(void *arg)
{
    struct question *question = arg;
    struct match_list *list = match_list_new(question->parameter, config_string(question->config, question->parameter), MATCH_STRING_LIST,
                                             question->config);
    question->answer = match_string(list, slice_of(question->user));
    match_list_free(list);
}

bool command_user_allowed(struct config *config, const char *parameter, uid_t uid)
{
    struct sandbox_owner owner;
    if (uid == 0 || (sandbox_owner_find(config, &owner) && owner.uid == uid))
        return true;
    /* The usual value needs no table. */
    if (strcmp(config_string(config, parameter), "static:anyone") == 0)
        return true;
    struct question question = {.config = config, .parameter = parameter, .user = command_user_name(uid)};
    if (fiber_current())
        look_up(&question);
    else
        run_main(look_up, &question);
    if (question.answer == MATCH_TRY_AGAIN)
        log_fatal("%s lookup error for user %s", parameter, question.user);
    return question.answer == MATCH_YES;
}
