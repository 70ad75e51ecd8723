/* password.h - PLAIN and LOGIN for back ends that check a user's password themselves */
#ifndef POSTERN_SASL_PASSWORD_H
#define POSTERN_SASL_PASSWORD_H

#include "sasl/driver.h"

/* Is it that user's password?  Fills the answer by sasl_decide.  Waits. */
typedef void sasl_password_check(struct sasl_exchange *exchange, struct slice user, struct slice password, struct sasl_answer *answer);

/* sasl_password_step - one step of PLAIN (RFC 4616) or LOGIN, by the exchange's mechanism; message is decoded.  Waits. */
void sasl_password_step(struct sasl_exchange *exchange, bool has_response, struct slice message, sasl_password_check *check, struct sasl_answer *answer);
/* sasl_challenge - the answer is a challenge of these bytes.  sasl_decide - it is final; the client hears the same whatever the layer was, unless it does not
   keep to the mechanism. */
void sasl_challenge(struct sasl_exchange *exchange, struct slice text, struct sasl_answer *answer);
void sasl_decide(struct sasl_answer *answer, enum sasl_outcome outcome, enum sasl_layer layer, struct slice user);

#endif
