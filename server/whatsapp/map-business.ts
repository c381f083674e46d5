import type { proto } from '@whiskeysockets/baileys';
import { readText } from './read-values.ts';

/** What businesses send as a form: its words, and the message whose file it shows on top. */
type Form = { readonly texts: readonly unknown[]; readonly header?: proto.IMessage | undefined };

/** Words of a form, with the file of its header where it has one. Undefined: no form. */
export function readForm(
  message: proto.IMessage,
): { text: string | undefined; header: proto.IMessage | undefined } | undefined {
  const form = formIn(message);
  return form && { text: joinTexts(form.texts), header: form.header };
}

/** What somebody chose from a form, or has to say besides: words alone. Undefined: something else. */
export function readWords(message: proto.IMessage): string | undefined {
  const { groupInviteMessage: invite, productMessage, orderMessage, eventMessage } = message;
  const answers = [
    message.buttonsResponseMessage?.selectedDisplayText,
    message.templateButtonReplyMessage?.selectedDisplayText,
    message.listResponseMessage?.title,
    message.listResponseMessage?.description,
    message.interactiveResponseMessage?.body?.text,
    message.questionResponseMessage?.text,
  ];
  const others = [
    invite?.caption,
    invite?.groupName,
    invite?.inviteCode ? `https://chat.whatsapp.com/${invite.inviteCode}` : undefined,
    productMessage?.product?.title,
    productMessage?.product?.description,
    productMessage?.body,
    orderMessage?.orderTitle,
    orderMessage?.message,
    eventMessage?.name,
    eventMessage?.description,
    eventMessage?.joinLink,
    message.scheduledCallCreationMessage?.title,
    message.stickerPackMessage?.name,
    message.stickerPackMessage?.caption,
    message.newsletterAdminInviteMessage?.caption,
    message.newsletterAdminInviteMessage?.newsletterName,
    message.invoiceMessage?.note,
    message.paymentInviteMessage ? 'WhatsApp payments' : undefined,
    message.sendPaymentMessage?.noteMessage?.conversation,
    message.sendPaymentMessage?.noteMessage?.extendedTextMessage?.text,
    message.requestPaymentMessage?.noteMessage?.conversation,
    message.requestPaymentMessage?.noteMessage?.extendedTextMessage?.text,
    message.pollResultSnapshotMessage?.name,
    message.pollResultSnapshotMessageV3?.name,
    message.statusQuotedMessage?.text,
    ...(message.richResponseMessage?.submessages ?? []).map(({ messageText }) => messageText),
  ];
  return joinTexts([...answers, ...others]);
}

function formIn(message: proto.IMessage): Form | undefined {
  const { buttonsMessage, listMessage, templateMessage, highlyStructuredMessage } = message;
  if (buttonsMessage) {
    const { text, contentText, footerText, buttons } = buttonsMessage;
    const labels = (buttons ?? []).map(({ buttonText }) => buttonText?.displayText);
    return { texts: [text, contentText, footerText, ...labels], header: buttonsMessage };
  }
  if (listMessage) {
    const { title, description, footerText } = listMessage;
    return { texts: [title, description, footerText] };
  }
  const template = templateMessage ?? highlyStructuredMessage?.hydratedHsm;
  const hydrated = template?.hydratedFourRowTemplate ?? template?.hydratedTemplate;
  if (hydrated) {
    const { hydratedTitleText, hydratedContentText, hydratedFooterText } = hydrated;
    return {
      texts: [hydratedTitleText, hydratedContentText, hydratedFooterText],
      header: hydrated,
    };
  }
  const interactive = message.interactiveMessage ?? template?.interactiveMessageTemplate;
  if (!interactive) return undefined;
  const { header, body, footer } = interactive;
  const texts = [header?.title, header?.subtitle, body?.text, footer?.text];
  return { texts, header: header ?? undefined };
}

function joinTexts(texts: readonly unknown[]): string | undefined {
  const lines = texts.flatMap((text) => readText(text) ?? []);
  return lines.length > 0 ? [...new Set(lines)].join('\n') : undefined;
}
