import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

const tauri = {
  group: ['@tauri-apps/*'],
  message: 'Only src/engine/client.ts speaks with the host.',
};
const features = {
  group: ['**/features/**'],
  message: 'Shared parts and the engine know no feature.',
};
const siblings = {
  regex: String.raw`^\.\./(?!\.\./)|/features/`,
  message: 'A feature knows itself and shared/, never another feature.',
};

export default ts.config(
  { ignores: ['dist', 'node_modules', 'src/engine/bindings'] },
  js.configs.recommended,
  ts.configs.strictTypeChecked,
  svelte.configs.recommended,
  {
    languageOptions: {
      globals: globals.browser,
      parserOptions: {
        projectService: { allowDefaultProject: ['eslint.config.js', 'svelte.config.js'] },
        extraFileExtensions: ['.svelte'],
      },
    },
    rules: {
      'no-restricted-imports': ['error', { patterns: [tauri] }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: false },
      ],
      eqeqeq: 'error',
    },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser, svelteConfig } },
    rules: { 'svelte/no-at-html-tags': 'error' },
  },
  { files: ['src/engine/client.ts'], rules: { 'no-restricted-imports': 'off' } },
  {
    files: ['src/shared/**', 'src/engine/**'],
    ignores: ['src/engine/client.ts'],
    rules: { 'no-restricted-imports': ['error', { patterns: [tauri, features] }] },
  },
  {
    files: ['src/features/**'],
    rules: { 'no-restricted-imports': ['error', { patterns: [tauri, siblings] }] },
  },
  { files: ['*.js'], extends: [ts.configs.disableTypeChecked] },
);
