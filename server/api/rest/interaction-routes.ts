import { interactions } from '../../../domain/entities/interactions.ts';
import { createSchema } from '../../../domain/entity.ts';
import { createInteraction } from '../../commands/create-interaction.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { assertAccess } from '../plugins/auth.ts';
import { answerRow } from './entity-routes.ts';
import { answeredRow, answers, oneOf, writeHeaders } from './schemas.ts';
import { write } from './write.ts';

/** Where interactions differ from the plain routes: who made one is written down, and it is with or about something. */
export function registerInteractionRoutes(app: App, context: Context): void {
  const body = createSchema(interactions).refine(
    (values) => typeof values['contact_id'] === 'number' || typeof values['lead_id'] === 'number',
    { path: ['contact_id'], message: 'is needed, or a lead_id' },
  );
  app.post(
    '/api/interactions',
    {
      config: { access: { permission: 'contacts' } },
      schema: {
        tags: ['interactions'],
        summary: 'Write down an interaction with a contact, or about a lead',
        body,
        headers: writeHeaders,
        response: answers(201, oneOf(answeredRow(interactions))),
      },
    },
    (request, reply) => {
      const principal = principalOf(request);
      const values = request.body;
      if (typeof values['lead_id'] === 'number') assertAccess({ permission: 'leads' }, principal);
      return write(context, request, reply, async (tx) => {
        const { accountId, userId } = principal;
        const interaction = { accountId, actorId: userId, values };
        return answerRow(interactions, await createInteraction(tx, interaction), 201);
      });
    },
  );
}
