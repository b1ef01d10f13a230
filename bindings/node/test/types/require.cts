// The same types for CommonJS.
import quorate = require('quorate');

export const client: quorate.Client = new quorate.Client();
